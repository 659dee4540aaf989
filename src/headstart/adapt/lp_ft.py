"""LP-FT: the probe's head, then the whole network (Kumar et al., 2022, arXiv 2202.10054)."""

from __future__ import annotations

from headstart.adapt.base import Job
from headstart.adapt.recipe import Recipe
from headstart.adapt.tuning import Tuning, schedule


class LpFt(Tuning):
    """Trains everything, the deep layers faster than the early ones, images and sounds varied anew each time."""

    name = "lp-ft"

    def recipe(self, job: Job, rows: int) -> Recipe:
        """From the closed form's head."""
        return Recipe(schedule(rows))
