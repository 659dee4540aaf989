"""The plan as it was followed: what was tried, why, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from headstart.progress import SILENT, Progress


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        step: 1, 2, ...
        candidate: source and strategy.
        reason: why it was taken now.
        seconds: of wall time.
        outcome: what came of it.
    """

    step: int
    candidate: str
    reason: str
    seconds: float
    outcome: str

    @property
    def line(self) -> str:
        """For people."""
        took = f" ({self.seconds:.0f} s)" if self.seconds >= 0.5 else ""
        return f"plan {self.step}: {self.candidate} ({self.reason}): {self.outcome}{took}"


@dataclass(eq=False)
class Plan:
    """The steps so far; each is said when it is done."""

    progress: Progress = SILENT
    steps: list[Step] = field(default_factory=list)

    def add(self, candidate: str, reason: str, seconds: float, outcome: str) -> None:
        """Write down a step."""
        step = Step(len(self.steps) + 1, candidate, reason, round(seconds, 3), outcome)
        self.steps.append(step)
        self.progress.say(step.line)

    def json(self) -> list[dict[str, Any]]:
        """`step, candidate, reason, seconds, outcome` of each."""
        return [asdict(step) for step in self.steps]
