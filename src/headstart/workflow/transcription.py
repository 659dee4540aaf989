"""`headstart fit --task transcribe`: does a recogniser hear this speech better when it is moved on it?

The untouched recogniser is the baseline, and is saved first. Then it is tuned in folds: a fold's clips are heard by one
that learned from the others, read off where the trainings of the other folds are best. Where the paired interval of
the gain clears zero, one more training on everything ships; else nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from headstart.data.transcripts import read_transcripts
from headstart.errors import HeadstartError
from headstart.plan.failure import reason_of
from headstart.progress import SILENT, Progress
from headstart.workflow.clock import Clock
from headstart.workflow.result import FitResult
from headstart.workflow.transcription_folds import Crossfitted, crossfit, fit_all, hearing_seconds, why_not
from headstart.workflow.transcription_options import TranscriptionOptions
from headstart.workflow.transcription_report import Heard, build_report
from headstart.workflow.transcription_shipping import Shipping
from headstart.workflow.transcription_task import Task, open_task

if TYPE_CHECKING:
    from headstart.speech.recipe import Recipe

_T = TypeVar("_T")


def transcribe(
    data: Any, options: TranscriptionOptions | None = None, progress: Progress = SILENT, recipe: Recipe | None = None
) -> FitResult:
    """Tune a recogniser on transcribed speech, prove what that brought, write the artefact.

    Args:
        data: as for `read_transcripts`.
        recipe: how to train; by default that of the strategy.

    Raises:
        InputError: the data, an option or the source cannot be used.
    """
    options = options or TranscriptionOptions()
    clock = Clock()
    spoken = read_transcripts(data, input=options.input, label=options.label, group=options.group)
    for note in spoken.notes:
        progress.say(note)
    clock.lap("read")
    task = open_task(spoken, options, progress)
    clock.lap("encode")
    everything = np.arange(len(task.spoken))
    started = time.perf_counter()
    untouched = task.errors(everything, task.transcribed(task.checkpoint, everything))
    seconds = time.perf_counter() - started
    clock.lap("untouched")
    shipping = Shipping(task, clock)
    heard = [Heard("untouched", untouched, seconds)]
    reason = why_not(task)
    if reason:
        task.notes.append(reason)
        progress.say(reason)
    result = shipping.ship(task.checkpoint, build_report(task, heard, everything, ()))
    if reason:
        return result
    try:
        return _tuned(task, heard, shipping, clock, recipe)
    except KeyboardInterrupt:
        return shipping.interrupted(result)
    except (HeadstartError, OSError) as error:
        return shipping.unwritten(result, error)


def _tuned(task: Task, heard: list[Heard], shipping: Shipping, clock: Clock, recipe: Recipe | None) -> FitResult:
    """Tune in folds; where that pays, on everything."""
    from headstart.speech.recipe import RECIPES, USUAL

    recipe = recipe or RECIPES[task.options.strategy or USUAL]
    strategy = recipe.moves.name
    everything = np.arange(len(task.spoken))
    started = time.perf_counter()
    deadline = None if task.options.budget is None else clock.start + task.options.budget - clock.stages["save"]
    late = "no time to tune in all folds: the untouched recogniser stays; raise --budget, and it goes on"
    found = _tried(task, lambda: _in_folds(task, recipe, deadline, heard[0].seconds), late)
    clock.lap("tune")
    if found is None:
        return shipping.ship(task.checkpoint, build_report(task, heard, everything, ()))
    heard = [*heard, Heard(strategy, task.errors(everything, found.texts), time.perf_counter() - started)]
    report = build_report(task, heard, everything, found.points)
    if not report["verdict"]["transfer_helps"]:
        return shipping.ship(task.checkpoint, report)
    late = "tuning pays, but there was no time to tune on everything: raise --budget, and it goes on"
    final = _tried(task, lambda: fit_all(task, recipe, found, deadline), late)
    clock.lap("fit")
    if final is None:
        return shipping.ship(task.checkpoint, build_report(task, heard, everything, found.points, moved=False))
    return shipping.ship(final, report, strategy)


def _in_folds(task: Task, recipe: Recipe, deadline: float | None, untouched: float) -> Crossfitted | None:
    """Tune in folds, with time left to hear their clips once; `untouched`: the seconds that the source took."""
    hear = None if deadline is None else deadline - hearing_seconds(task, recipe, untouched)
    return crossfit(task, recipe, hear)


def _tried(task: Task, train: Callable[[], _T | None], late: str) -> _T | None:
    """What a training gives; None, and a note, where it failed, or the time did not suffice (`late`)."""
    from headstart.adapt.memory import short_memory_told

    try:
        with short_memory_told():
            found = train()
    except Exception as error:
        task.notes.append(f"tuning failed, so the untouched recogniser stays: {reason_of(error)}")
        return None
    if found is None:
        task.notes.append(late)
    return found
