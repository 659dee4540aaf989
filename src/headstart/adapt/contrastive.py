"""Contrastive: items of a class are drawn together and classes apart, all compared with all; then a linear head.

For few labels, above all of texts. SetFit (Tunstall et al., 2022, arXiv 2209.11055) embeds both texts of every pair of
a list that grows with the square of the labels; here a step embeds each text once, and has all of its pairs.

The upper half of the graph trains, on activations of the lower half that were computed once. The head is logistic
regression on the features that training gave. What those look like to items that training did not see cannot be learned
from the items that it saw: how far to go is chosen by the folds that read the training off, never here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from headstart.adapt.base import Job, Learned, Reading, Rows
from headstart.adapt.cuts import Cut, anatomy
from headstart.adapt.estimates import no_room
from headstart.adapt.recipe import Recipe, cannot
from headstart.adapt.settings import Settings
from headstart.adapt.tuning import Tuning
from headstart.optional import require

# Chosen once, by rows that were held out of the training parts of four text sets; docs/benchmarks.md says how.
STEPS = 10
TEMPERATURE = 0.2
RATE = 2e-4
BATCH = 1024  # items compared at once, at most
EPOCHS = 3  # at least, where there are more items than that
VIEWS = 4  # of each image or sound
BLENDS = (0.5, 1.0)
_MOST = 0.55  # of the graph's work, above the cut


class Contrastive(Tuning):
    """Supervised contrastive learning on full batches."""

    name = "contrastive"

    def recipe(self, job: Job, rows: int) -> Recipe:
        """How to train on so many rows."""
        per_epoch = max(1, math.ceil(rows / BATCH))
        epochs = max(EPOCHS, math.ceil(STEPS / per_epoch))
        settings = Settings(epochs=epochs, batch=BATCH, rate=RATE, decay=1.0, smoothing=0.0)
        views = 1 if job.source.modality == "text" else VIEWS
        return Recipe(settings, _cut(job), views, taps="last")

    def reason_not(self, job: Job) -> str | None:
        """See `Strategy`."""
        if job.target.task == "regression":
            return "numbers have no classes to draw together"
        return cannot(job) or no_room(job, self.recipe(job, len(job.target)))

    def readings(self, job: Job, rows: int) -> tuple[Reading, ...]:
        """See `Strategy`."""
        epochs = self.recipe(job, rows).settings.epochs
        return tuple(Reading(epoch, blend) for epoch in sorted({max(1, epochs // 2), epochs}) for blend in BLENDS)

    def learn(self, job: Job, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
        """See `Strategy`."""
        return learn(job, self.recipe(job, len(train)), train, test, readings)


def learn(job: Job, recipe: Recipe, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
    """Train as `recipe` says; what was trained before, and what a kill left, is taken up. See `Strategy.learn`."""
    for module in ("torch", "accelerate"):
        require(module, "torch", "moving weights")
    from headstart.adapt.checkpoint import Shelf, training_key
    from headstart.adapt.contrastive_training import ContrastiveTraining
    from headstart.adapt.device import Device, own_randomness
    from headstart.adapt.inputs import inputs_of
    from headstart.adapt.memory import short_memory_told

    device = Device(recipe.settings.bf16)
    state = recipe.state() | {"device": device.torch.type, "bf16": device.bf16, "temperature": TEMPERATURE}
    shelf = Shelf(job.folder, training_key(job, state, train, test, readings), writes=device.is_main)
    if (known := shelf.finished(job)) is not None:
        return known
    inputs = inputs_of(job, recipe.cut, train, test, recipe.views)
    with own_randomness(job.seed), short_memory_told():
        training = ContrastiveTraining(job, recipe, TEMPERATURE, inputs, train, test, shelf, device)
        learned = training.run(readings)
    if inputs.trouble:
        note = f"activations stay in memory: {inputs.trouble}"
        learned = Learned(learned.scores, learned.moved, (*learned.notes, note))
    if training.finished:
        shelf.finish(learned)
    return learned


def _cut(job: Job) -> Cut | None:
    """The shallowest cut above which about half of the work lies; None, all trains, where there is no cut."""
    cuts = anatomy(job.source).cuts
    return next((cut for cut in cuts if cut.share <= _MOST), cuts[-1] if cuts else None)
