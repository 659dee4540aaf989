"""Tuning a recogniser in folds, and on everything."""

from __future__ import annotations

import hashlib
import json
import time
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
from headstart.speech.spectrograms import HeardExamples
from headstart.tasks import Target
from headstart.workflow.time_left import TimeLeft
from headstart.workflow.trainings import make_room
from headstart.workflow.transcription_task import Task

if TYPE_CHECKING:
    from headstart.speech.recipe import Recipe
    from headstart.speech.tuned import Point, Tuned

Rows = NDArray[np.int64]
FOLDS = 3
_VERSION = 5  # raise it when a training would be kept otherwise
FEWEST = 12  # clips, below which no fold could learn anything
_TIMED = 4  # clips that tell how long hearing takes


@dataclass(frozen=True, eq=False)
class Crossfitted:
    """What the folds gave.

    Attributes:
        texts: n, each heard by a recogniser that did not learn from its clip.
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
        return f"not tuned, which needs {', '.join(missing)} (not installed): {install_line('torch')}"
    if len(task.spoken) < FEWEST:
        return f"not tuned: {len(task.spoken)} clips are too few to learn and to check; at least {FEWEST} are needed"
    groups = task.spoken.groups
    if groups is not None and len(np.unique(groups)) < FOLDS:
        return f"not tuned: {len(np.unique(groups))} groups cannot be split in {FOLDS} folds (--group none takes clips)"
    return ""


def hearing_seconds(task: Task, recipe: Recipe, known: float) -> float:
    """How long it takes to hear every clip once: as `known` where the encoder's states are at hand."""
    if not recipe.moves.encoder:
        return known
    few = np.arange(min(_TIMED, len(task.spoken)))
    started = time.perf_counter()
    task.transcribed(task.checkpoint, few, encoder=True)
    return (time.perf_counter() - started) * len(task.spoken) / len(few)


def crossfit(task: Task, recipe: Recipe, deadline: float | None) -> Crossfitted | None:
    """Tune in folds of clips of all lengths, or of whole groups; None where the time does not suffice.

    Each fold has an equal share of the time that is left, and so has the training on everything that may follow.
    """
    from headstart.speech.tuned import least

    target = _lengths(task)
    make_room({_folder(task)})
    texts, points, trained, anew = [""] * len(target), [], [], recipe.moves.encoder
    split = folds(target, groups=task.spoken.groups, k=FOLDS, seed=task.options.seed)
    for number, fold in enumerate(split, 1):
        time_left = None if deadline is None else TimeLeft(deadline, len(split) - number + 2)
        found = _tuned(task, recipe, fold.train, fold.test, time_left, f"fold {number} of {len(split)}")
        if found is None:
            return None
        trained.append(found)
    losses = [one.losses for one in trained]
    for k, (fold, found) in enumerate(zip(split, trained, strict=True)):
        points.append(least([*losses[:k], *losses[k + 1 :]]))
        recogniser = moved(task.checkpoint, found.weights(points[-1]))
        for i, text in zip(fold.test, task.transcribed(recogniser, fold.test, encoder=anew), strict=True):
            texts[i] = text
    return Crossfitted(texts, tuple(points), least(losses))


def fit_all(task: Task, recipe: Recipe, found: Crossfitted, deadline: float | None) -> Checkpoint | None:
    """Tune on every clip, to the point that the folds agree on; None where the time did not suffice."""
    rows, none = np.arange(len(task.spoken)), np.zeros(0, np.int64)
    time_left = None if deadline is None else TimeLeft(deadline)
    last = _tuned(task, recipe, rows, none, time_left, "all clips", found.shared.epoch)
    return None if last is None else moved(task.checkpoint, last.weights(found.shared))


def _tuned(
    task: Task, recipe: Recipe, train: Rows, held: Rows, left: TimeLeft | None, detail: str, until: int | None = None
) -> Tuned | None:
    """One training; None where the time did not suffice. What went wrong on the way is noted."""
    from headstart.speech.tuning import tune

    kind = HeardExamples if recipe.moves.encoder else Examples
    examples = kind(task.checkpoint, task.clips(recipe.moves.encoder), task.spoken.texts, task.language)
    shelf = _shelf(task, recipe, examples, train, held, until)
    found = tune(
        task.checkpoint, examples, train, held, recipe, shelf, seed=task.options.seed, progress=task.progress,
        until=until, deadline=None if left is None else left.share(), detail=detail,
    )  # fmt: skip
    notes = found.notes if found.finished or left is None else (*found.notes, left.note(found.missing))
    task.notes += [f"{detail}: {note}" for note in notes]
    return found if found.finished else None


def moved(checkpoint: Checkpoint, weights: Weights) -> Checkpoint:
    """The recogniser with some of its weights replaced, in the types that it has."""
    own = checkpoint.weights
    return checkpoint.with_weights({**own, **{name: w.astype(own[name].dtype) for name, w in weights.items()}})


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
