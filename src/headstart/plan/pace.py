"""How long trainings take here: a strategy's own estimates, corrected by what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(eq=False)
class Pace:
    """What the trainings of each strategy took, over what they were estimated to take."""

    _ratios: dict[str, list[float]] = field(default_factory=dict)

    def record(self, strategy: str, estimated: float, measured: float) -> None:
        """Learn from a training."""
        if estimated > 0 and measured > 0:
            self._ratios.setdefault(strategy, []).append(measured / estimated)

    def seconds(self, strategy: str, estimated: float) -> float:
        """The estimate, corrected.

        The first training of a strategy also pays for what is done once (imports, activations), so it is believed half
        way, on a logarithmic scale. A strategy without a training is taken to be as slow as the others.
        """
        ratios = self._ratios.get(strategy)
        if ratios is not None:
            return estimated * (ratios[-1] if len(ratios) > 1 else math.sqrt(ratios[0]))
        others = [math.log(known[-1]) for known in self._ratios.values()]
        return estimated * math.exp(sum(others) / (2 * len(others))) if others else estimated
