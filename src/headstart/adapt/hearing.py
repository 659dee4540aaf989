"""A recording as a graph hears it in a training: all of its windows as they are, or one of them, varied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.augment_sound import mask, vary
from headstart.features.files import read_file
from headstart.features.readers import READERS
from headstart.features.sound_reader import windows
from headstart.features.sounds import Samples, decode
from headstart.fronts import prepare
from headstart.sources.base import SoundInput

Heard = NDArray[np.float32]


def input_name(how: SoundInput) -> str:
    """Of the graph's one input."""
    return "wave" if how.front == "wave" else "mel"


def samples_of(path: Path, how: SoundInput) -> Samples:
    """(t,) float32 mono, at the source's rate.

    Raises:
        ItemError: it cannot be read.
    """
    return decode(read_file(path, READERS["sound"].too_large), [how.rate]).samples[how.rate]


def plain(samples: Samples, how: SoundInput) -> list[Heard]:
    """Each window as the frozen features have it: (bands, frames), or (t,) of a wave."""
    return [prepare(one, how)[input_name(how)][0] for one in windows(samples, how)]


def varied(samples: Samples, how: SoundInput, rng: np.random.Generator) -> Heard:
    """One of the windows, varied."""
    every = windows(samples, how)
    one = every[int(rng.integers(len(every)))]
    return mask(prepare(vary(one, rng), how)[input_name(how)][0], rng)
