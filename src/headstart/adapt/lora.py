"""LoRA: products of small rank are learned beside frozen linear maps and dense convolutions, and added to them."""

from __future__ import annotations

from headstart.adapt.base import Job
from headstart.adapt.recipe import Recipe
from headstart.adapt.tuning import Tuning, schedule
from headstart.optional import has, install_line

RANK = 8


class Lora(Tuning):
    """Attention and other linear maps, and dense convolutions (Hu et al., 2021, arXiv 2106.09685)."""

    name = "lora"

    def recipe(self, job: Job, rows: int) -> Recipe:
        """From the closed form's head."""
        return Recipe(schedule(rows, rate=1e-3), rank=RANK)

    def reason_not(self, job: Job) -> str | None:
        """See `Strategy`."""
        return super().reason_not(job) or (None if has("peft") else f"peft is not installed: {install_line('torch')}")
