"""The time that is left of a budget, for several trainings."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class TimeLeft:
    """The time until a deadline, `time.perf_counter()`, for so many trainings that take about as long as each other."""

    deadline: float
    trainings: int = 1

    def share(self) -> float:
        """The deadline of the next of them."""
        now = time.perf_counter()
        return now + (self.deadline - now) / self.trainings

    def note(self, missing: float) -> str:
        """That the time is too short, each of them needing `missing` seconds more than its share; 0: nobody knows."""
        more = f"about {math.ceil(missing * self.trainings / 60)} min more are needed in all" if missing else ""
        return f"the time does not suffice{': ' * bool(more)}{more}"
