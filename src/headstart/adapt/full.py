"""Full fine-tuning, as it is usually done: the whole network with a new head."""

from __future__ import annotations

from headstart.adapt.base import Job
from headstart.adapt.recipe import Recipe
from headstart.adapt.tuning import Tuning, schedule


class Full(Tuning):
    """Trains everything at one rate, from a head that knows nothing."""

    name = "full"

    def recipe(self, job: Job, rows: int) -> Recipe:
        """From a head of zeros."""
        return Recipe(schedule(rows, decay=1.0, head_rate=1e-3), head="zero")
