"""How a recogniser is tuned: what moves, and the numbers of the training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from headstart.adapt.settings import Settings
from headstart.speech.full import Full
from headstart.speech.last_stages import LastStages
from headstart.speech.lora import Lora, LoraAll
from headstart.speech.moves import Moves


@dataclass(frozen=True)
class Recipe:
    """How a recogniser is tuned.

    Attributes:
        settings: the numbers of the training. Labels are not smoothed: over a vocabulary of 50,000 that drowns what a
            few minutes teach (40 Spanish clips, base, loss of 25 others: 0.79 untouched, 0.56 smoothed, 0.47 not).
        moves: what of the recogniser.
    """

    settings: Settings = field(default_factory=lambda: Settings(epochs=8, batch=16, rate=1e-3, smoothing=0.0))
    moves: Moves = field(default_factory=Lora)

    def state(self) -> dict[str, Any]:
        """As JSON has it, to tell trainings apart."""
        return {**asdict(self), "strategy": self.moves.name}


# Half of LoRA's epochs, as all that moves is held in memory as each of them left it.
_LAST = Recipe(Settings(epochs=4, batch=16, rate=1e-4, smoothing=0.0), LastStages())
_FULL = Recipe(Settings(epochs=4, batch=16, rate=3e-5, smoothing=0.0), Full())
RECIPES = {one.moves.name: one for one in (Recipe(), _LAST, Recipe(moves=LoraAll()), _FULL)}
"""Strategy -> its recipe."""


USUAL = LastStages.name
"""The strategy where none is named: ahead of "lora" on the folds of English, Italian and of tiny.en's (benchmarks)."""
