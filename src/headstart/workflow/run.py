"""`headstart fit` and `hs.fit`: read, embed, race, decide, write, check what was written."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import HeadstartError, OptionError
from headstart.model.temporary import TemporaryFolder
from headstart.plan.candidates import frozen_heads
from headstart.plan.crossfit import Fitted, Problem, fit_all
from headstart.plan.decision import Decision, decide
from headstart.plan.race import Race, run_all
from headstart.progress import SILENT, Progress
from headstart.sources.lineage import descent
from headstart.workflow.clock import Clock
from headstart.workflow.gather import Gathered, gather
from headstart.workflow.options import FitOptions
from headstart.workflow.report import build_report, without_times

# Items predicted again from the written file, to be compared with what was learned, and how far they may differ:
# float16 rounds features by 5e-4, and an engine may round its sums in another order.
_CHECKED = 24
_TOLERANCE = 1e-2
# Without a budget, candidates are tried for this long, or for this part of the time that embedding took.
_PATIENCE, _PATIENCE_SHARE = 60.0, 0.25
# A fit is meant to stay below this much resident memory; the libraries alone take the second; each candidate may have
# the third in any case.
_MOST_BYTES, _PROCESS_BYTES, _LEAST_ROOM = 1_500_000_000, 450_000_000, 300_000_000
# Up to this many items ten folds are affordable, and leave more to learn from.
_FEW = 100


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit gave.

    Attributes:
        report: the JSON document of `headstart fit --json`.
        path: the artefact.
        owner: keeps a temporary artefact alive; None where `out` was given.
    """

    report: dict[str, Any]
    path: Path
    owner: Any = None


def fit(data: Any, options: FitOptions | None = None, progress: Progress = SILENT) -> FitResult:
    """Learn from labelled data, prove what transfer brought, write the artefact.

    Args:
        data: a folder of class folders, a table file, or a DataFrame.

    Raises:
        InputError: the data, an option or a source cannot be used.
        HeadstartError: no engine runs, the disk is full.
    """
    from headstart.data.read import read

    options = options or FitOptions()
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
    heads = frozen_heads(options.strategies, dataset.target.task, len(dataset) / dataset.target.n_outputs)
    for note in dataset.notes:
        progress.say(note)
    clock.lap("read")
    gathered = gather(dataset, options, progress, clock)
    problem = _problem(gathered.dataset, options)
    race = Race(problem, deadline=_deadline(options, clock), most_bytes=_room(gathered), progress=progress)
    transfer, baseline = run_all(race, gathered.plain, gathered.sources, heads)
    decision = decide(transfer, baseline, problem)
    clock.lap("score")
    return _ship(gathered, problem, decision, race, options, clock)


def _deadline(options: FitOptions, clock: Clock) -> float:
    if options.budget is not None:
        return clock.start + options.budget
    return time.perf_counter() + max(_PATIENCE, _PATIENCE_SHARE * clock.stages.get("embed", 0.0))


def _room(gathered: Gathered) -> int:
    """Working memory for one candidate: what a fit may take, less the process itself and the features it holds."""
    held = sum(view.features.matrix.nbytes for view in gathered.sources)
    held += 2 * len(gathered.dataset) * gathered.plain.width if gathered.dataset.modality == "image" else 0
    return max(_MOST_BYTES - _PROCESS_BYTES - held, _LEAST_ROOM)


def _problem(dataset: Dataset, options: FitOptions) -> Problem:
    """Folds and weights: the same for every candidate."""
    from headstart.data.splits import folds

    target = dataset.target
    assert target is not None
    k = 10 if len(dataset) <= _FEW else 5
    splits = folds(target, groups=dataset.groups, times=dataset.times, k=k, seed=options.seed)
    weights = None
    if options.balance:
        if not target.exclusive:
            raise OptionError(f"balance is for tasks with exclusive classes, not {target.task}: leave it out")
        counts = np.bincount(target.y.astype(np.int64), minlength=target.n_outputs)
        weights = (len(target) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[target.y.astype(np.int64)]
    return Problem(target, splits, dataset.groups, weights, options.seed)


def _ship(
    gathered: Gathered, problem: Problem, decision: Decision, race: Race, options: FitOptions, clock: Clock
) -> FitResult:
    """Fit the chosen candidate on everything; write, check and report it."""
    dataset, chosen = gathered.dataset, decision.chosen
    fitted = fit_all(chosen.candidate.view, chosen.candidate.head, problem, chosen.out_of_fold)
    clock.lap("fit")
    owner, path = None, options.out
    if path is None:
        owner = TemporaryFolder()
        path = owner.path / "model.headstart"
    lineage = descent(state.source for state in fitted.view.states() if state.source is not None)
    report = build_report(dataset, problem, decision, race, gathered.notes, lineage)
    clock.lap("report")
    _write(path, fitted, gathered, options, without_times(report))
    clock.lap("save")
    report |= {"model": str(path), "bytes": path.stat().st_size, "seconds": clock.json()}
    return FitResult(report, path, owner)


def _write(path: Path, fitted: Fitted, gathered: Gathered, options: FitOptions, report: dict[str, Any]) -> None:
    """Write beside `path`, check what was written, then put it in place: an older file is lost only to a good one."""
    from headstart.model.packing import write

    unchecked = path.with_name(f".{path.name}.{os.getpid()}.unchecked")
    try:
        write(unchecked, fitted, _card(gathered.dataset, options), report, gathered.choices)
        _check(unchecked, gathered.dataset, fitted)
        os.replace(unchecked, path)
    finally:
        unchecked.unlink(missing_ok=True)


def _card(dataset: Dataset, options: FitOptions) -> dict[str, Any]:
    from importlib.metadata import version

    assert dataset.target is not None
    return {
        "name": dataset.name,
        "modality": dataset.modality,
        "task": dataset.target.task,
        "classes": dataset.target.classes,
        "columns": dataset.columns,
        "input": dataset.input,
        "data": {"name": dataset.name, "n": len(dataset), "seed": options.seed},
        "versions": {name: version(name) for name in ("headstart", "numpy", "scikit-learn", "onnxruntime", "openvino")},
    }


def _check(path: Path, dataset: Dataset, fitted: Fitted) -> None:
    """Predict some items from the written file and compare with the model in memory.

    Raises:
        HeadstartError: they differ.
    """
    from headstart.model import load

    rows = np.unique(np.linspace(0, len(dataset) - 1, min(_CHECKED, len(dataset))).astype(np.int64))
    expected = fitted.calibration.probabilities(fitted.head.scores(fitted.view.matrix(rows)))
    found, failures = load(path).probabilities(dataset.take(rows).items)
    worst = float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
    if failures or not worst <= _TOLERANCE:
        raise HeadstartError(
            f"the written model does not predict as the fitted one does (difference {worst:.3g}, "
            f"{len(failures)} failures): nothing was saved; please report this"
        )
