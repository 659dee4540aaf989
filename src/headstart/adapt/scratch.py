"""From scratch: the same architecture from random weights. It shows what the source's knowledge is worth."""

from __future__ import annotations

from headstart.adapt.base import Job
from headstart.adapt.recipe import Recipe
from headstart.adapt.tuning import Tuning, schedule


class Scratch(Tuning):
    """Trains everything from nothing, three times as long as fine-tuning does."""

    name = "scratch"

    def recipe(self, job: Job, rows: int) -> Recipe:
        """Random weights, batch normalisation in convolutional nets, one rate."""
        return Recipe(
            schedule(rows, steps=900, least=30, most=120, decay=1.0, head_rate=1e-3, weight_decay=0.05),
            head="zero",
            fresh=True,
        )
