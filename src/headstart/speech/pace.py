"""Whether there is time for more of a training: by a deadline, and how long its steps and readings took so far."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """The pace of one training; of what was not done yet it knows nothing, and takes it to be no time.

    The first step and the first reading of a run pay what is done once, and do not tell how long many will take.

    Attributes:
        reading: seconds that clips are read in at the end of an epoch.
        steps: how many were made.
    """

    def __init__(self, deadline: float | None) -> None:
        """`deadline`: `time.perf_counter()` by which what was learned must have been read; None for none."""
        self.reading, self.steps = 0.0, 0
        self._deadline = deadline
        self._seconds, self._readings = 0.0, 0  # of all steps but the first

    def beyond(self, steps: int, readings: int) -> float:
        """Seconds from the deadline to the end of so many more steps and readings; negative where that is before it."""
        if self._deadline is None:
            return -math.inf
        steps_take = steps * self._seconds / max(self.steps - 1, 1)
        readings_take = (readings if self._readings > 1 else min(readings, 1)) * self.reading
        return time.perf_counter() + steps_take + readings_take - self._deadline

    @contextmanager
    def step(self) -> Iterator[None]:
        """Inside, one step is made."""
        started = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - started if self.steps else 0.0
        self.steps += 1

    @contextmanager
    def read(self, share: float) -> Iterator[None]:
        """Inside, clips are read, at `share` of the points of an epoch's end."""
        started = time.perf_counter()
        yield
        self.reading = (time.perf_counter() - started) / share
        self._readings += 1
