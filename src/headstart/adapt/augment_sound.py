"""Sounds varied as recordings of one thing vary: begun a little later, louder or softer, noisier, parts not heard.

Samples are cropped, scaled and given noise; of what the graph hears bands and stretches are masked, as SpecAugment does
(Park et al., 2019, arXiv 1904.08779). The draws are NumPy's, a generator a sound, so that they depend on nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORTEST_CROP = 0.8
"""Of the length."""
_STEP = 1.1  # lengths after a crop are its powers, so that many clips have one length and go through together
_GAIN = 6.0  # decibels up or down, at most
_NOISE = 15.0, 45.0  # decibels below the sound's own level
_MASKS = 2  # along each axis
_MASKED = 0.1  # of an axis by each, at most


def vary(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(t,) samples -> (t',) of them, SHORTEST_CROP t <= t' <= t, at another level and with white noise."""
    low, high = (np.log(share * len(samples)) / np.log(_STEP) for share in (SHORTEST_CROP, 1.0))
    length = min(len(samples), max(1, round(_STEP ** int(rng.integers(np.ceil(low), np.floor(high) + 1)))))
    start = int(rng.integers(len(samples) - length + 1))
    part = samples[start : start + length]
    gain, below = 10 ** (rng.uniform(-_GAIN, _GAIN) / 20), 10 ** (-rng.uniform(*_NOISE) / 20)
    level = float(np.sqrt(np.mean(np.square(part, dtype=np.float64))))
    noise = rng.standard_normal(length, np.float32) * np.float32(below * level)
    return (part + noise) * np.float32(gain)


def mask(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(bands, t) or (t,) -> a copy in which _MASKS stretches of each axis are its mean."""
    found, mean = values.copy(), values.mean()
    for axis, size in enumerate(values.shape):
        for _ in range(_MASKS):
            length = int(rng.integers(int(_MASKED * size) + 1))
            start = int(rng.integers(size - length + 1))
            where: list[Any] = [slice(None)] * values.ndim
            where[axis] = slice(start, start + length)
            found[tuple(where)] = mean
    return found
