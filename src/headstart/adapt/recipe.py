"""What strategies have in common: a recipe, and how it becomes a training and its readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from headstart.adapt.base import Job, Learned, Reading, Rows
from headstart.adapt.cuts import Cut, anatomy, last_tap
from headstart.adapt.settings import Settings
from headstart.optional import has, install_line, require
from headstart.sources.base import Tap

if TYPE_CHECKING:
    from headstart.adapt.network import Start

BLENDS = (0.25, 0.5, 0.75, 1.0)
"""How far from the source readings are taken."""

# Features of training items that a refitted head is made from, at most: numbers, of which several copies are held.
_REFITTED = 50_000_000


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        settings: the numbers.
        cut: what lies below stays frozen, its activations cached; None: nothing is frozen.
        views: how many of each image or sound are cached at the cut.
        head: it starts from the probe's closed form, or from zero.
        fresh: random weights instead of the source's.
        rank: of LoRA's added products; 0 for training the weights themselves.
    """

    settings: Settings
    cut: Cut | None = None
    views: int = 1
    head: Literal["probe", "zero"] = "probe"
    fresh: bool = False
    rank: int = 0
    taps: Literal["last", "above", "all"] = "all"

    def read(self, job: Job) -> tuple[Tap, ...]:
        """The taps that the head reads."""
        if self.taps == "last":
            return (last_tap(job.source),)
        low = self.cut.depth if self.cut and self.taps == "above" else -1
        return tuple(tap for tap in job.source.taps if tap.depth > low)

    def state(self) -> dict[str, Any]:
        """As JSON has it, to tell trainings apart."""
        cut = self.cut.tensor if self.cut else None
        return {
            **self.settings.state(), "cut": cut, "views": self.views, "head": self.head, "fresh": self.fresh,
            "rank": self.rank, "taps": self.taps,
        }  # fmt: skip


def cannot(job: Job) -> str | None:
    """Why no weights of this source can move here, in one line; None where they can. Nothing heavy is imported."""
    missing = [name for name in ("torch", "accelerate") if not has(name)]
    if missing:
        return f"{' and '.join(missing)} not installed: {install_line('torch')}"
    if job.source.modality == "image" and not has("torchvision"):
        return f"torchvision, which varies images, is not installed: {install_line('torch')}"
    reason = anatomy(job.source).reason
    return f"the graph cannot be trained: {reason}" if reason else None


def readings(job: Job, recipe: Recipe, rows: int) -> tuple[Reading, ...]:
    """Half-way and at the end, some of the way from the source and all of it; there with the head refitted too."""
    epochs = recipe.settings.epochs
    blends = (1.0,) if recipe.fresh else BLENDS
    refitted = rows * sum(tap.width for tap in recipe.read(job)) <= _REFITTED
    found: list[Reading] = []
    for epoch in sorted({max(1, epochs // 2), epochs}):
        found += [Reading(epoch, blend) for blend in blends]
        found += [Reading(epoch, head="refitted")] if refitted else []
    return tuple(found)


def learn(job: Job, recipe: Recipe, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
    """Train as `recipe` says; what was trained before, and what a kill left, is taken up. See `Strategy.learn`."""
    from headstart.adapt.checkpoint import Shelf, training_key
    from headstart.adapt.device import Device, own_randomness
    from headstart.adapt.inputs import inputs_of
    from headstart.adapt.memory import short_memory_told
    from headstart.adapt.training import Training

    for module in ("torch", "accelerate"):
        require(module, "torch", "moving weights")
    device = Device(recipe.settings.bf16)
    state = recipe.state() | {"device": device.torch.type, "bf16": device.bf16}
    key = training_key(job, state, train, test, readings)
    shelf = Shelf(job.folder, key, writes=device.is_main)
    if (known := shelf.finished(job)) is not None:
        return known
    taps = recipe.read(job)
    inputs = inputs_of(job, recipe.cut, train, test, recipe.views, taps)
    with own_randomness(job.seed), short_memory_told():
        start = _start(job, recipe, train, taps)
        training = Training(job, start, recipe.settings, inputs, train, test, shelf, device)
        learned = training.run(readings)
    if inputs.trouble:
        note = f"activations stay in memory: {inputs.trouble}"
        learned = Learned(learned.scores, learned.moved, (*learned.notes, note))
    if training.finished:
        shelf.finish(learned)
    return learned


def _start(job: Job, recipe: Recipe, train: Rows, taps: tuple[Tap, ...]) -> Start:
    """The network's start, as the recipe has it."""
    from headstart.adapt.initial_head import InitialHead, initial_head
    from headstart.adapt.lora_layers import add_lora
    from headstart.adapt.network import Start

    head = (
        initial_head(job, taps, train)
        if recipe.head == "probe"
        else InitialHead.zero(job, taps, None if recipe.fresh else train)
    )

    fresh = job.seed if recipe.fresh else None
    adapt = partial(add_lora, rank=recipe.rank) if recipe.rank else None
    return Start(job.source, taps, recipe.cut, head, fresh, adapt)
