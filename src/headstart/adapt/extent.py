"""How much of a graph's work an item is: 1 but for sounds, which are of all lengths."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headstart.adapt.base import Job
from headstart.adapt.cuts import nominal_seconds
from headstart.optional import require
from headstart.sources.base import SoundInput

_LOOKED_AT = 32  # files whose headers tell the mean length
_LONGEST = 3600.0  # s; longer ones are not read, and headers that say so know no length
_UNKNOWN = 5.0


@dataclass(frozen=True)
class Extent:
    """In units of what `cuts.anatomy` has shapes and work of.

    Attributes:
        whole: all of an item, on average.
        window: as much of it as a step of a training sees.
        seconds: of a sound; 0 for others.
    """

    whole: float = 1.0
    window: float = 1.0
    seconds: float = 0.0

    def of_views(self, views: int) -> float:
        """An item as it is, and so many views less one of a window each."""
        return self.whole + (views - 1) * self.window


def extent(job: Job) -> Extent:
    """That of a job's items."""
    how = job.source.input
    if not isinstance(how, SoundInput):
        return Extent()
    chosen = np.unique(np.linspace(0, len(job.items) - 1, min(_LOOKED_AT, len(job.items))).astype(int))
    seconds = _mean_seconds(tuple(str(job.items[i]) for i in chosen))
    if how.frames:
        return Extent(float(math.ceil(seconds / how.seconds)), 1.0, seconds)
    unit, least = nominal_seconds(how), how.shortest / how.rate
    return Extent(max(seconds, least) / unit, max(min(seconds, how.seconds), least) / unit, seconds)


@lru_cache(maxsize=64)
def _mean_seconds(paths: tuple[str, ...]) -> float:
    """The mean length of sounds, by their headers."""
    soundfile = require("soundfile", "audio", "reading sounds")
    found = []
    for path in paths:
        with suppress(Exception):  # libsndfile's own errors; what cannot be read is told where it is decoded
            found.append(float(soundfile.info(path).duration))
    known = [seconds for seconds in found if 0 < seconds <= _LONGEST]
    return float(np.mean(known)) if known else _UNKNOWN
