"""Whether there is time for more of a training: by a deadline, and how long its steps and readings took so far."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """The pace of one training; of what was not done yet it knows nothing, and takes it to be no time.

    Attributes:
        reading: seconds that clips are read in at the end of an epoch.
    """

    def __init__(self, deadline: float | None) -> None:
        """`deadline`: `time.perf_counter()` by which what was learned must have been read; None for none."""
        self.reading = 0.0
        self._deadline = deadline
        self._steps, self._seconds = 0, 0.0

    def late(self, steps: int) -> bool:
        """True where so many steps, and the reading after them, would not end before the deadline."""
        if self._deadline is None:
            return False
        needed = steps * self._seconds / max(self._steps, 1) + self.reading
        return time.perf_counter() + needed > self._deadline

    @contextmanager
    def step(self) -> Iterator[None]:
        """Inside, one step is made."""
        started = time.perf_counter()
        yield
        self._steps += 1
        self._seconds += time.perf_counter() - started

    @contextmanager
    def read(self, share: float) -> Iterator[None]:
        """Inside, clips are read, at `share` of the points of an epoch's end."""
        started = time.perf_counter()
        yield
        self.reading = (time.perf_counter() - started) / share
