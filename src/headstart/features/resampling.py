"""Samples at another rate, by soxr, as they come in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Resampled:
    """Mono samples at another rate, in an array that is made once, and takes no memory before it is written to.

    What comes in one piece is resampled in one call, which gives the same in less time than a stream.

    Args:
        given, wanted: rates in Hz.
        most: samples that may come.
    """

    def __init__(self, given: int, wanted: int, most: int) -> None:
        self._given, self._wanted, self._most = given, wanted, most
        self._first: Samples = np.zeros(0, np.float32)
        self._stream: Any = None
        self._room: Samples | None = None
        self._filled = 0

    def add(self, mono: Samples) -> None:
        """Take in (t,) more."""
        if self._room is None and not len(self._first):
            self._first = np.ascontiguousarray(mono)
            return
        if self._room is None:
            self._begin()
        self._put(np.ascontiguousarray(mono), last=False)

    def finish(self) -> Samples:
        """(t,), t > 0."""
        found = self._whole() if self._room is None else self._streamed(self._room)
        return found if len(found) else np.zeros(1, np.float32)

    def _whole(self) -> Samples:
        if self._given == self._wanted or not len(self._first):
            return self._first
        import soxr

        found: Samples = soxr.resample(self._first, self._given, self._wanted, quality="HQ")
        return found

    def _streamed(self, room: Samples) -> Samples:
        self._put(np.zeros(0, np.float32), last=True)
        return room[: self._filled]

    def _begin(self) -> None:
        """A second piece has come."""
        self._room = np.empty(math.ceil(self._most * self._wanted / self._given) + self._wanted, np.float32)
        if self._given != self._wanted:
            import soxr

            self._stream = soxr.ResampleStream(self._given, self._wanted, 1, dtype="float32", quality="HQ")
        self._put(self._first, last=False)
        self._first = np.zeros(0, np.float32)

    def _put(self, samples: Samples, *, last: bool) -> None:
        assert self._room is not None
        if self._stream is not None:
            samples = self._stream.resample_chunk(samples, last=last)
        self._room[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)
