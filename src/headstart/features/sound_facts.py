"""What is known of a sound beside its content: the first columns of its descriptor, which no head sees.

They are kept with the descriptor, so that a run that finds everything in the cache says the same as the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.features.sounds import Sound

# The rate in two columns, as float16 holds whole numbers up to 2048; seconds; level in decibels; share of full scale.
NAMES = ("rate kHz", "rate Hz", "seconds", "level", "clipped")
_LEAST_LEVEL = 1e-6


@dataclass(frozen=True, eq=False)
class Facts:
    """Of n sounds, (n,) each.

    Attributes:
        rates: Hz, of the files.
        seconds: their lengths.
        levels: root mean square in decibels below full scale.
        clipped: share of samples at full scale.
    """

    rates: NDArray[np.int64]
    seconds: NDArray[np.float64]
    levels: NDArray[np.float64]
    clipped: NDArray[np.float64]


def facts_row(sound: Sound) -> NDArray[np.float32]:
    """(5,) the columns of NAMES."""
    level = 20 * np.log10(max(sound.level, _LEAST_LEVEL))
    return np.array([*divmod(sound.rate, 1000), sound.seconds, level, sound.clipped], np.float32)


def facts(described: NDArray[np.float16]) -> Facts:
    """From (n, d) descriptors, which begin with the columns of NAMES."""
    columns = described[:, : len(NAMES)].astype(np.float64)
    rates = (1000 * columns[:, 0] + columns[:, 1]).astype(np.int64)
    return Facts(rates, columns[:, 2], columns[:, 3], columns[:, 4])


def beside_facts(described: NDArray[np.float16]) -> NDArray[np.float16]:
    """(n, d - 5): what a head may see of the descriptors."""
    return described[:, len(NAMES) :]
