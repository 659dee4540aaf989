"""What a training takes, about, before anything was timed: seconds, and bytes on disk."""

from __future__ import annotations

import math

from headstart.adapt.base import Job
from headstart.adapt.cuts import anatomy, nominal_seconds
from headstart.adapt.extent import extent
from headstart.adapt.recipe import Recipe
from headstart.engines.memory import recall
from headstart.engines.probe_sounds import SECONDS
from headstart.features.cache import budget

# Multiply-adds a second of two cores, where no engine was measured: EfficientNet-Lite0's 400 million, 100 times.
_WORK_A_SECOND = 4e10
# Training an item costs this many times what an engine takes for the same multiply-adds, the more the more of the
# graph trains: early layers are large and thin. Measured on EfficientNet-Lite0 above stages 6, 5, 4.
_TRAINING, _TRAINING_MORE = 2.0, 6.0
# Both heads that are refitted take together about as long as an epoch.
_REFITS = 1


def activations_bytes(job: Job, recipe: Recipe, rows: int) -> int:
    """What a training keeps on disk, about: activations at its cut, or decoded images and sounds."""
    how, each = job.source.input, extent(job)
    if recipe.cut is not None:
        return round(2 * math.prod(recipe.cut.shape) * rows * each.of_views(recipe.views))
    if how.kind == "image":
        return 3 * how.size**2 * rows
    return round(4 * how.rate * each.seconds * rows) if how.kind == "sound" else 0


def no_room(job: Job, recipe: Recipe) -> str | None:
    """Why the activations of a job cannot be kept, in one line; None where they can."""
    need, limit = activations_bytes(job, recipe, len(job.target)), budget()
    if need <= max(limit, 1_000_000_000):
        return None
    return f"its activations take {need / 1e9:.1f} GB, {limit / 1e9:.1f} are allowed: raise HEADSTART_CACHE_BYTES"


def seconds(job: Job, recipe: Recipe, rows: int) -> float:
    """A rough time to train on so many rows here, on activations that are there."""
    share = recipe.cut.share if recipe.cut else 1.0
    passes = recipe.settings.epochs + _REFITS
    each = max(extent(job).window, 1.0)  # the gradient of the weights takes as long for a short sound as for a second
    return rows * each * passes * share * (_TRAINING + _TRAINING_MORE * share) / _speed(job)


def preparing_seconds(job: Job, recipe: Recipe, rows: int) -> float:
    """A rough time of the trunk's pass over all views of so many rows here."""
    share = recipe.cut.share if recipe.cut else 1.0
    return rows * extent(job).of_views(recipe.views) * (1.0 - share) / _speed(job)


def _speed(job: Job) -> float:
    """Items of nominal length a second of the whole graph, run by an engine."""
    choice, how = recall(job.source), job.source.input
    if choice is None:
        return _WORK_A_SECOND / max(anatomy(job.source).work, 1.0)
    if how.kind == "sound" and not how.frames:
        return choice.items_per_second * min(sum(SECONDS) / 2, how.seconds) / nominal_seconds(how)
    return choice.items_per_second
