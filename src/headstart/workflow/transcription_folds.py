"""Tuning a recogniser in folds, and on everything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.checkpoint import VERSION, Shelf
from headstart.data.splits import folds
from headstart.features.cache import budget
from headstart.optional import has, install_line
from headstart.paths import trainings_dir
from headstart.speech.checkpoint import Checkpoint, Weights
from headstart.speech.examples import Examples
from headstart.tasks import Target
from headstart.workflow.trainings import make_room

if TYPE_CHECKING:
    from headstart.speech.recipe import Recipe
    from headstart.speech.tuning import Point, Tuned
    from headstart.workflow.transcription import Task

Rows = NDArray[np.int64]
FOLDS = 3
_VERSION = 5  # raise it when a training would be kept otherwise
FEWEST = 12  # clips, below which no fold could learn anything


@dataclass(frozen=True, eq=False)
class Crossfitted:
    """What the folds gave.

    Attributes:
        texts: n, each heard by a decoder that did not learn from its clip.
        points: where each fold's training was read off: at the point with the least loss over the other folds.
        shared: the point that has the least loss over all of them, for the training on everything.
    """

    texts: list[str]
    points: tuple[Point, ...]
    shared: Point


def why_not(task: Task) -> str:
    """Why the recogniser is not tuned; "" where it is."""
    missing = [name for name in ("torch", "accelerate", "peft") if not has(name)]
    if missing:
        return f"not tuned, as {' and '.join(missing)} is not installed: {install_line('torch')}"
    if len(task.spoken) < FEWEST:
        return f"not tuned: {len(task.spoken)} clips are too few to learn and to check; at least {FEWEST} are needed"
    groups = task.spoken.groups
    if groups is not None and len(np.unique(groups)) < FOLDS:
        return f"not tuned: {len(np.unique(groups))} groups cannot be split in {FOLDS} folds (--group none takes clips)"
    return ""


def crossfit(task: Task, recipe: Recipe, deadline: float | None) -> Crossfitted | None:
    """Tune in folds of clips of all lengths, or of whole groups; None where the time did not suffice."""
    from headstart.speech.tuning import least

    target = _lengths(task)
    make_room({_folder(task)})
    texts, points, trained = [""] * len(target), [], []
    split = folds(target, groups=task.spoken.groups, k=FOLDS, seed=task.options.seed)
    for number, fold in enumerate(split, 1):
        found = _tuned(task, recipe, fold.train, fold.test, deadline, f"fold {number} of {len(split)}")
        if found is None:
            return None
        trained.append(found)
    losses = [one.losses for one in trained]
    for k, (fold, found) in enumerate(zip(split, trained, strict=True)):
        points.append(least([*losses[:k], *losses[k + 1 :]]))
        recogniser = moved(task.checkpoint, found.weights(points[-1]))
        for i, text in zip(fold.test, task.transcribed(recogniser, fold.test), strict=True):
            texts[i] = text
    return Crossfitted(texts, tuple(points), least(losses))


def fit_all(task: Task, recipe: Recipe, found: Crossfitted, deadline: float | None) -> Checkpoint | None:
    """Tune on every clip, to the point that the folds agree on; None where the time did not suffice."""
    rows, none = np.arange(len(task.spoken)), np.zeros(0, np.int64)
    last = _tuned(task, recipe, rows, none, deadline, "all clips", found.shared.epoch)
    return None if last is None else moved(task.checkpoint, last.weights(found.shared))


def _tuned(
    task: Task, recipe: Recipe, train: Rows, held: Rows, deadline: float | None, detail: str, until: int | None = None
) -> Tuned | None:
    """One training; None where the time did not suffice. What went wrong on the way is noted."""
    from headstart.speech.tuning import tune

    examples = Examples(task.checkpoint, _Picked(task), task.spoken.texts, task.language)
    shelf = _shelf(task, recipe, examples, train, held, until)
    found = tune(
        task.checkpoint, examples, train, held, recipe, shelf, seed=task.options.seed, progress=task.progress,
        until=until, deadline=deadline, detail=detail,
    )  # fmt: skip
    task.notes += [f"{detail}: {note}" for note in found.notes]
    return found if found.finished else None


def moved(checkpoint: Checkpoint, decoder: Weights) -> Checkpoint:
    """The recogniser with some weights of its decoder replaced, in the types that it has."""
    own = checkpoint.weights
    return checkpoint.with_weights({**own, **{name: w.astype(own[name].dtype) for name, w in decoder.items()}})


class _Picked:
    """The states of the clips that are used."""

    def __init__(self, task: Task) -> None:
        self._states, self._kept = task.states, task.kept
        self.seconds = task.states.seconds[task.kept]

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        return self._states[int(self._kept[i])]


def _lengths(task: Task) -> Target:
    """Folds are stratified by the clips' lengths."""
    return Target("regression", task.states.seconds[task.kept], ("seconds",))


def _shelf(task: Task, recipe: Recipe, examples: Examples, train: Rows, held: Rows, until: int | None) -> Shelf:
    """Where a training is kept: under all that decides what it gives."""
    digest = hashlib.sha256(task.checkpoint.fingerprint.encode())
    fields = [_VERSION, VERSION, recipe.state(), task.options.seed, task.language, until]
    digest.update(json.dumps(fields, sort_keys=True, default=str).encode())
    for rows in (train, held):
        for i in rows.tolist():
            state = task.states.name(int(task.kept[i]))
            digest.update(f"{state} {examples.ids(i)}|".encode())
        digest.update(b"#")
    return Shelf(_folder(task), digest.hexdigest(), writes=budget() > 0)


def _folder(task: Task) -> Path:
    return trainings_dir() / f"speech-{task.checkpoint.fingerprint[:24]}"
