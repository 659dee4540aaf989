"""`headstart curve` and `hs.curve`: every strategy on the same nested draws of labels, and how many one saves."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.charts.learning_curve import learning_curve
from headstart.data.splits import Fold, holdout, latest
from headstart.errors import DataError, OptionError, StorageError
from headstart.model.temporary import TemporaryFolder
from headstart.plan.candidates import baselines, frozen
from headstart.plan.crossfit import Problem
from headstart.plan.curve import Closed, Draw, Learner, Moving, Traced, draw, trace
from headstart.plan.failure import left_out
from headstart.plan.parallel import import_learners
from headstart.plan.strategies import asked_for, tunable
from headstart.plan.tuned import FROM_SCRATCH
from headstart.plan.views import Rows, SourceView, layer_sets
from headstart.progress import SILENT, Progress
from headstart.workflow.clock import Clock
from headstart.workflow.curve_options import CurveOptions
from headstart.workflow.curve_report import build_curve_report
from headstart.workflow.gather import Gathered, gather
from headstart.workflow.options import FitOptions
from headstart.workflow.trainings import jobs, make_room

NO_TRANSFER, PROBE = "no transfer", "probe"


def curve(data: Any, options: CurveOptions | None = None, progress: Progress = SILENT) -> dict[str, Any]:
    """Score ever more labels with and without transfer; the report, and the figure where `options.out` says so.

    Args:
        data: a folder of class folders, a table file, or a DataFrame.

    Raises:
        InputError: the data, an option or a source cannot be used.
        HeadstartError: no engine runs, the disk is full.
    """
    from headstart.data.read import read

    options = options or CurveOptions()
    clock = Clock()
    dataset = read(
        data,
        modality=options.modality,
        task=options.task,
        input=options.input,
        label=options.label,
        group=options.group,
        time=options.time,
    )
    assert dataset.target is not None
    if dataset.target.task == "regression":
        raise OptionError(
            f"a curve counts labels a class, and {dataset.name} predicts a number: give --task, or classes"
        )
    asked_for(options.strategies, dataset.target.task)  # a name that does not exist is known before the work
    for note in dataset.notes:
        progress.say(note)
    clock.lap("read")
    gathered = gather(dataset, FitOptions(sources=options.sources, cache=options.cache), progress, clock)
    problem, split = _problem(gathered, options)
    draws = draw(problem.target, split.train, options.shots, options.draws, options.seed)
    owner = TemporaryFolder()
    learners, notes = _learners(gathered, problem, options, owner.path, progress)
    traced, failed = _traced(learners, problem, draws, split.test, progress)
    clock.lap("learn")
    report = build_curve_report(gathered.dataset, problem, split, traced, [*gathered.notes, *notes, *failed])
    clock.lap("report")
    figure = None if options.out is None else _write(options.out, learning_curve(report))
    return {**report, "figure": figure, "seconds": clock.json()}


def _traced(
    learners: Sequence[Learner], problem: Problem, draws: Sequence[Draw], test: Rows, progress: Progress
) -> tuple[list[Traced], list[str]]:
    """The curves, and why others were left out: what moves weights, whosever it is, does not cost the others.

    Raises:
        Exception: what the others are compared with failed.
    """
    traced: list[Traced] = []
    notes: list[str] = []
    for learner in learners:
        try:
            traced.append(trace(learner, problem, draws, test, progress))
        except Exception as error:
            if not isinstance(learner, Moving):
                raise
            notes.append(f"{learner.name} was {left_out(error)}")
            progress.say(notes[-1])
    return traced, notes


def _problem(gathered: Gathered, options: CurveOptions) -> tuple[Problem, Fold]:
    """What all curves are scored on, and the items to learn from and to test on: groups whole, the latest tested."""
    dataset, target = gathered.dataset, gathered.dataset.target
    assert target is not None
    if dataset.times is None:
        split = holdout(target, options.test, groups=gathered.groups, seed=options.seed)
    else:
        split = latest(dataset.times, options.test, groups=dataset.groups)
    held = target.take(split.train).encoded().sum(axis=0)
    if np.count_nonzero(held) < 2 and target.exclusive:
        raise DataError(
            f"{dataset.name}: with {len(split.test)} of {len(dataset)} items held out, one class is left to learn "
            "from: give more items, or a smaller --test"
        )
    if target.exclusive and not np.isin(target.y[split.test], target.y[split.train]).any():
        raise DataError(
            f"{dataset.name}: no class is both among the {len(split.test)} items held out and among the others: give "
            "more items, or another --test"
        )
    return Problem(target, [], gathered.groups, None, options.seed), split


def _learners(
    gathered: Gathered, problem: Problem, options: CurveOptions, scratch: Path, progress: Progress
) -> tuple[list[Learner], list[str]]:
    """No transfer, from scratch, then what starts from a source; and why some cannot be."""
    task = problem.target.task
    asked = asked_for(options.strategies, task)
    opponents = baselines(gathered.plain, task, problem.target.n_outputs)
    if any(candidate.head_name == "boosted-trees" for candidate in opponents):
        import_learners()
    probes: list[Learner] = []
    for view in gathered.sources:
        suffix = "" if len(gathered.sources) == 1 else f" {view.source}"
        sets = [SourceView(view.features, view.origin, taps, name) for name, taps in layer_sets(view.taps).items()]
        widest_first = sorted(sets, key=lambda one: -one.width)
        probes.append(Closed(PROBE + suffix, tuple(frozen(one, "ridge") for one in widest_first)))
        if set(options.strategies) - set(asked.tuned):
            probes += [
                Closed(f"frozen-{head}{suffix}", tuple(frozen(one, head) for one in widest_first))
                for head in asked.heads
            ]
    moving, notes = _moving(gathered, problem, options, asked.tuned, scratch, progress)
    from_scratch = [one for one in moving if not one.transfer]
    tuned = [one for one in moving if one.transfer]
    return [Closed(NO_TRANSFER, tuple(opponents)), *from_scratch, *probes, *tuned], notes


def _moving(
    gathered: Gathered,
    problem: Problem,
    options: CurveOptions,
    names: Sequence[str],
    scratch: Path,
    progress: Progress,
) -> tuple[list[Moving], list[str]]:
    """What was asked for by name and moves weights."""
    if not names:
        return [], []
    found = tunable(names, jobs(gathered, problem, None if options.cache else scratch, progress))
    for reason in found.reasons:
        progress.say(reason)
    make_room({candidate.job.folder for candidate in found.candidates})
    several = len(gathered.sources) > 1
    moving = []
    for candidate in found.candidates:
        name = "from scratch" if candidate.learner.name == FROM_SCRATCH else candidate.learner.name
        moving.append(Moving(f"{name} {candidate.job.source.name}" if several else name, candidate))
    return moving, list(found.reasons)


def _write(path: Path, figure: str) -> str:
    """Write the figure whole or not at all; its path."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        beside.write_text(figure, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(
            f"the figure {path} cannot be written ({error.strerror or error}): choose another --out"
        ) from error
    finally:
        beside.unlink(missing_ok=True)
    return str(path)
