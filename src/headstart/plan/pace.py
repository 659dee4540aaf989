"""How long trainings take here: a strategy's own estimates, corrected by what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# What the first training of a strategy pays once, about: imports, and graphs that are compiled.
_ONCE = 8.0


@dataclass(eq=False)
class Pace:
    """What the trainings of each strategy took, over what they were estimated to take."""

    _ratios: dict[str, list[float]] = field(default_factory=dict)

    def record(self, strategy: str, estimated: float, measured: float) -> None:
        """Learn from a training; the first of a strategy without what it paid once, which is at most half of it."""
        if estimated > 0 and measured > 0:
            if strategy not in self._ratios:
                measured = max(measured - _ONCE, measured / 2)
            self._ratios.setdefault(strategy, []).append(measured / estimated)

    def seconds(self, strategy: str, estimated: float) -> float:
        """The estimate, corrected by the last training.

        A strategy without a training is taken to be as slow as the others, half way on a logarithmic scale.
        """
        ratios = self._ratios.get(strategy)
        if ratios is not None:
            return estimated * ratios[-1]
        others = [math.log(known[-1]) for known in self._ratios.values()]
        return estimated * math.exp(sum(others) / (2 * len(others))) if others else estimated
