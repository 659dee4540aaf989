"""A strategy that is a recipe: what `Strategy` asks for, from the recipe alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.adapt.base import Job, Learned, Reading, Rows
from headstart.adapt.estimates import no_room, preparing_seconds, seconds
from headstart.adapt.recipe import Recipe, cannot, learn, readings
from headstart.adapt.settings import Settings


class Tuning:
    """Base of strategies that train by gradient: they say their recipe."""

    name: str

    def recipe(self, job: Job, rows: int) -> Recipe:
        """How to train on so many rows."""
        raise NotImplementedError

    def reason_not(self, job: Job) -> str | None:
        """See `Strategy`."""
        return cannot(job) or no_room(job, self.recipe(job, len(job.target)))

    def estimated_seconds(self, job: Job, rows: int) -> float:
        """See `Strategy`."""
        return seconds(job, self.recipe(job, rows), rows)

    def preparing_seconds(self, job: Job, rows: int) -> float:
        """See `Strategy`."""
        return preparing_seconds(job, self.recipe(job, rows), rows)

    def readings(self, job: Job, rows: int) -> tuple[Reading, ...]:
        """See `Strategy`."""
        return readings(job, self.recipe(job, rows), rows)

    def learn(self, job: Job, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
        """See `Strategy`."""
        return learn(job, self.recipe(job, len(train)), train, test, readings)


def schedule(
    rows: int, *, steps: int = 160, least: int = 8, most: int = 30, batch: int = 32, **settings: Any
) -> Settings:
    """Settings for so many training rows: about `steps` steps, within bounds of epochs."""
    epochs = min(most, max(least, round(steps * batch / max(rows, 1))))
    return Settings(**({"epochs": epochs, "batch": batch, "rate": 1e-3, "head_rate": 1e-4} | settings))
