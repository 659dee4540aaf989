"""How a training goes: the numbers that a strategy fixes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The hyperparameters of one training.

    Attributes:
        epochs: passes over the training items; the length of the rate's schedule, wherever it is read off.
        batch: items in a step.
        rate: AdamW's peak learning rate of the deepest layers.
        head_rate: that of the head.
        decay: what the rate is multiplied with for every depth nearer to the input.
        warmup: share of the steps in which the rates rise from 0.
        weight_decay: decoupled, of matrices and kernels only (Loshchilov and Hutter, arXiv 1711.05101).
        smoothing: of labels (Szegedy et al., 2015, arXiv 1512.00567).
        clip: largest norm of the gradient.
        bf16: None: where the device has it natively.
    """

    epochs: int
    batch: int = 32
    rate: float = 3e-4
    head_rate: float = 1e-3
    decay: float = 0.8
    warmup: float = 0.1
    weight_decay: float = 0.01
    smoothing: float = 0.1
    clip: float = 1.0
    bf16: bool | None = None

    def state(self) -> dict[str, Any]:
        """As JSON has it, to tell trainings apart."""
        return asdict(self)

    def factor(self, step: int, steps: int) -> float:
        """What the rates are multiplied with in step 0, 1, ... of `steps`: linear warm-up, then half a cosine."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
