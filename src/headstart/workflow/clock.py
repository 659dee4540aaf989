"""Wall seconds by stage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(eq=False)
class Clock:
    """Started when made; `lap` books the time since the last lap to a stage."""

    start: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    def json(self) -> dict[str, float]:
        """`total`, and each stage."""
        total = time.perf_counter() - self.start
        return {"total": round(total, 3), **{stage: round(seconds, 3) for stage, seconds in self.stages.items()}}
