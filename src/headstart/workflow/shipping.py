"""Shipping: the model that the evidence chooses is fitted on everything, written, checked and reported."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.errors import HeadstartError
from headstart.model.temporary import TemporaryFolder
from headstart.plan.crossfit import Fitted, Problem
from headstart.plan.decision import Decision, decide
from headstart.plan.scored import Scored
from headstart.plan.steps import Plan
from headstart.plan.tuned import MovedView
from headstart.workflow.clock import Clock
from headstart.workflow.gather import Gathered
from headstart.workflow.options import FitOptions
from headstart.workflow.report import build_report, without_times
from headstart.workflow.result import FitResult

# Items predicted again from the written file, to be compared with what was learned, and how far they may differ:
# float16 rounds features by 5e-4, and an engine may round its sums in another order.
_CHECKED = 24
_TOLERANCE = 1e-2


@dataclass(eq=False)
class Shipping:
    """Writes the model that the evidence chooses; again when that changes.

    Attributes:
        scored: every candidate that has all its folds, in the order in which they were scored.
        notes: what the user should know.
        path: the artefact.
        result: the last one that was written.
    """

    gathered: Gathered
    problem: Problem
    options: FitOptions
    clock: Clock
    plan: Plan
    scored: list[Scored]
    notes: list[str]
    path: Path = field(init=False)
    result: FitResult | None = field(init=False, default=None)
    _owner: TemporaryFolder | None = field(init=False, default=None)
    _shipped: Scored | None = field(init=False, default=None)
    _fitted: Fitted | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.options.out is not None:
            self.path = self.options.out
            return
        self._owner = TemporaryFolder()
        self.path = self._owner.path / "model.headstart"

    def add(self, scored: Scored) -> bool:
        """Another candidate has all its folds; True if it ships now. The file changes only if what ships does.

        Raises:
            HeadstartError: it should ship, but cannot be fitted or written: the file is as it was before.
        """
        self.scored.append(scored)
        try:
            decision = self._decide()
            if decision.chosen is not self._shipped:
                self._ship(decision)
        except BaseException:
            self.scored.remove(scored)
            raise
        return self._shipped is scored

    def ship(self) -> FitResult:
        """Write what the evidence chooses, with all that was found out until now.

        Raises:
            HeadstartError: it cannot be fitted or written: the file is as it was before.
        """
        return self._ship(self._decide())

    def _decide(self) -> Decision:
        ours, theirs = ([one for one in self.scored if one.candidate.transfer is side] for side in (True, False))
        with _one_order():
            return decide(ours, theirs, self.problem)

    def _ship(self, decision: Decision) -> FitResult:
        """Fit what was chosen on everything, if it is not what was fitted last; write, check and report it."""
        self.clock.lap("score")
        fitted = self._fitted if decision.chosen is self._shipped else None
        fitted = fitted or decision.chosen.candidate.fit_all(self.problem, decision.chosen.out_of_fold)
        self.clock.lap("fit")
        with _one_order():
            report = build_report(
                self.gathered.dataset, self.problem, self.scored, decision, fitted, self.plan, self.notes
            )
        self.clock.lap("report")
        self._write(fitted, without_times(report))
        self.clock.lap("save")
        self._shipped, self._fitted = decision.chosen, fitted
        report |= {"model": str(self.path), "bytes": self.path.stat().st_size, "seconds": self.clock.json()}
        self.result = FitResult(report, self.path, self._owner)
        return self.result

    def _write(self, fitted: Fitted, report: dict[str, Any]) -> None:
        """Write beside `path`, check what was written, put it in place: an older file is lost only to a good one."""
        from headstart.model.packing import write

        choices = self.gathered.choices
        if isinstance(fitted.view, MovedView):
            choices = choices | {fitted.view.origin.name: fitted.view.choice}
        unchecked = self.path.with_name(f".{self.path.name}.{os.getpid()}.unchecked")
        try:
            write(unchecked, fitted, _card(self.gathered.dataset, self.options), report, choices)
            _check(unchecked, self.gathered.dataset, fitted)
            os.replace(unchecked, self.path)
        finally:
            unchecked.unlink(missing_ok=True)


def _one_order() -> AbstractContextManager[Any]:
    """Sums in one order, however many threads there are: in another order their last digits, and bytes, are others."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


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
        "data": {"name": dataset.name, "n": len(dataset), "seed": options.seed, "label": list(dataset.labels)},
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
