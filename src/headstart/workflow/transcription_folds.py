"""Tuning a recogniser in folds, and on everything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.checkpoint import VERSION, Shelf
from headstart.data.splits import folds, holdout
from headstart.optional import has, install_line
from headstart.paths import trainings_dir
from headstart.speech.checkpoint import Checkpoint, Weights
from headstart.speech.examples import Examples
from headstart.tasks import Target

if TYPE_CHECKING:
    from headstart.speech.tuning import Point, Recipe
    from headstart.workflow.transcription import Task

Rows = NDArray[np.int64]
FOLDS = 3
HELD_OUT = 0.2  # of a fold's training part, to tell when to stop
_VERSION = 3  # raise it when a training would be kept otherwise
FEWEST = 12  # clips, below which no fold could learn anything


@dataclass(frozen=True, eq=False)
class Crossfitted:
    """What the folds gave.

    Attributes:
        texts: n, each heard by a decoder that did not learn from its clip.
        points: where each fold's training was read off.
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
    texts = [""] * len(target)
    points, losses = [], []
    split = folds(target, groups=task.spoken.groups, k=FOLDS, seed=task.options.seed)
    for number, fold in enumerate(split, 1):
        train, held = _inner(task, target, fold.train)
        found = _tuned(task, recipe, train, held, deadline, f"fold {number} of {len(split)}")
        if found is None:
            return None
        points.append(found.point)
        losses.append(found.losses)
        for i, text in zip(fold.test, task.transcribed(found.checkpoint, fold.test), strict=True):
            texts[i] = text
        del found  # its weights, before the next are made
    return Crossfitted(texts, tuple(points), least(losses))


def fit_all(task: Task, recipe: Recipe, found: Crossfitted, deadline: float | None) -> Checkpoint | None:
    """Tune on every clip, to the point that the folds agree on; None where the time did not suffice."""
    rows, none = np.arange(len(task.spoken)), np.zeros(0, np.int64)
    last = _tuned(task, recipe, rows, none, deadline, "all clips", found.shared)
    return None if last is None else last.checkpoint


@dataclass(frozen=True, eq=False)
class _Tuned:
    """A recogniser that was tuned, where its training was read off, and what it lost at each point."""

    checkpoint: Checkpoint
    point: Point
    losses: dict[Point, float]


def _tuned(
    task: Task, recipe: Recipe, train: Rows, held: Rows, deadline: float | None, detail: str, until: Point | None = None
) -> _Tuned | None:
    """One training; None where the time did not suffice. What went wrong on the way is noted."""
    from headstart.speech.tuning import tune

    examples = Examples(task.checkpoint, _Picked(task), task.spoken.texts, task.language)
    shelf = _shelf(task, recipe, examples, train, held, until)
    found = tune(
        task.checkpoint, examples, train, held, recipe, shelf, seed=task.options.seed, progress=task.progress,
        until=until, deadline=deadline, detail=detail,
    )  # fmt: skip
    task.notes += [f"{detail}: {note}" for note in found.notes]
    return _Tuned(moved(task.checkpoint, found.weights), found.point, found.losses) if found.finished else None


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


def _inner(task: Task, target: Target, rows: Rows) -> tuple[Rows, Rows]:
    """A fold's training part, cut in what is learned and what tells when to stop; groups whole where there are two."""
    groups = None if task.spoken.groups is None else task.spoken.groups[rows]
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None
    inner = holdout(target.take(rows), HELD_OUT, groups=groups, seed=task.options.seed)
    return rows[inner.train], rows[inner.test]


def _shelf(task: Task, recipe: Recipe, examples: Examples, train: Rows, held: Rows, until: Point | None) -> Shelf:
    """Where a training is kept: under all that decides what it gives."""
    digest = hashlib.sha256(task.checkpoint.fingerprint.encode())
    fields = [_VERSION, VERSION, recipe.state(), task.options.seed, task.language, repr(until)]
    digest.update(json.dumps(fields, sort_keys=True, default=str).encode())
    for rows in (train, held):
        for i in rows.tolist():
            state = task.states.name(int(task.kept[i]))
            digest.update(f"{state} {examples.ids(i)}|".encode())
        digest.update(b"#")
    return Shelf(trainings_dir() / f"speech-{task.checkpoint.fingerprint[:24]}", digest.hexdigest())
