"""Samples at another rate, by soxr, as they come in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Resampled:
    """Mono samples at another rate, in an array that is made once, and takes no memory before it is written to.

    Args:
        given, wanted: rates in Hz.
        most: samples that may come.
    """

    def __init__(self, given: int, wanted: int, most: int) -> None:
        self._stream: Any = None
        if given != wanted:
            import soxr

            self._stream = soxr.ResampleStream(given, wanted, 1, dtype="float32", quality="HQ")
        self._room: Samples = np.empty(math.ceil(most * wanted / given) + wanted, np.float32)
        self._filled = 0

    def add(self, mono: Samples) -> None:
        self._put(mono if self._stream is None else self._stream.resample_chunk(np.ascontiguousarray(mono)))

    def finish(self) -> Samples:
        """(t,), t > 0."""
        if self._stream is not None:
            self._put(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        return self._room[: self._filled] if self._filled else np.zeros(1, np.float32)

    def _put(self, samples: Samples) -> None:
        self._room[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)
