"""Candidates that move weights: a source and a strategy, trained fold by fold, and once more on everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from headstart import registry
from headstart.adapt.base import Job, Moved, Strategy
from headstart.engines.memory import Choice
from headstart.errors import EngineError
from headstart.features.embed import embed
from headstart.heads.base import FittedHead, Head, HeadState
from headstart.plan.crossfit import Fitted, OutOfFold, Problem
from headstart.plan.trial import Trial
from headstart.plan.views import NO_SOURCE, Rows, ViewState
from headstart.sources.base import Source
from headstart.sources.moved import moved_source

FROM_SCRATCH = "scratch"
"""The strategy that takes a source's architecture and none of its knowledge: it counts as no transfer."""

# A trained graph is a source again, run by an engine: on this many items it must score as the training did, within
# this share of the scores' spread. bfloat16 products, in training or in the engine, err by about 1 % each.
_CHECKED = 24
_TOLERANCE = 0.1
# float32 weights, gradients and AdamW's two moments.
_BYTES_A_PARAMETER = 16


@dataclass(frozen=True, eq=False)
class Tuned:
    """A source whose weights a strategy moves.

    Attributes:
        job: the source and all labelled items.
        learner: the strategy.
        choice: the engine that runs the source here, and its precision.
    """

    job: Job
    learner: Strategy
    choice: Choice
    moves: bool = True

    @property
    def source(self) -> str:
        return self.job.source.name if self.transfer else NO_SOURCE

    @property
    def strategy(self) -> str:
        return self.learner.name if self.transfer else f"{self.learner.name}-{self.job.source.name}"

    @property
    def label(self) -> str:
        return self.source if self.transfer else "no transfer"

    @property
    def transfer(self) -> bool:
        return self.learner.name != FROM_SCRATCH

    @property
    def cost(self) -> float:
        return self.job.source.parameters / 1e6

    @property
    def effort(self) -> float:
        n = len(self.job.items)
        return self.learner.preparing_seconds(self.job, n) + self.learner.estimated_seconds(self.job, n)

    @property
    def words(self) -> str:
        return self.source if self.transfer else f"{self.job.source.name} from scratch"

    def estimated_seconds(self, problem: Problem) -> float:
        return self.effort + sum(self.learner.estimated_seconds(self.job, len(fold.train)) for fold in problem.folds)

    def estimated_bytes(self, problem: Problem) -> int:
        return _BYTES_A_PARAMETER * self.job.source.parameters

    def crossfit(self, problem: Problem) -> OutOfFold:
        trial = Trial(self.learner, self.job, problem)
        for k in range(len(problem.folds)):
            trial.train(k)
        return trial.out_of_fold()

    def fit_all(self, problem: Problem, out_of_fold: OutOfFold) -> Fitted:
        """Train on every item up to the reading that the folds chose; the moved graph and its head as a fitted view.

        Raises:
            EngineError: the graph cannot be trained, or the engine runs the trained one otherwise than it was trained.
            StorageError: the trained graph cannot be written.
        """
        assert out_of_fold.reading is not None, "a cross-fitted candidate has its reading"
        assert out_of_fold.calibration is not None
        n = len(problem.target)
        rows = np.arange(n)
        checked = np.unique(np.linspace(0, n - 1, min(_CHECKED, n)).astype(np.int64))
        job = replace(self.job, deadline=None)
        learned = self.learner.learn(job, rows, checked, [out_of_fold.reading])
        moved = learned.moved
        view = MovedView.of(self.job, moved, _exact(self.choice), self.transfer)
        fitted = Fitted(view, _head(moved, problem), out_of_fold.calibration)
        _agree(fitted, checked, learned.scores[-1], self.job.source.name)
        return fitted


def _head(moved: Moved, problem: Problem) -> FittedHead:
    """The trained head as one of those that a model file holds."""
    kind = "ridge" if problem.target.task == "regression" else "logistic"
    head: Head = registry.get("headstart.heads", kind)
    arrays: dict[str, NDArray[Any]] = {
        "weight": np.ascontiguousarray(moved.head.T),
        "bias": moved.bias.astype(np.float64),
    }
    return head.restore(HeadState(kind, arrays, {}))


def _exact(choice: Choice) -> Choice:
    """The engine for moved weights: an int8 graph was quantised for the old ones."""
    return replace(choice, precision="fp32") if choice.precision == "int8" else choice


def _agree(fitted: Fitted, rows: Rows, trained: NDArray[np.float64], name: str) -> None:
    """Compare what the engine makes of the moved graph with what the training said of the same items.

    Raises:
        EngineError: they differ.
    """
    found = fitted.head.scores(fitted.view.matrix(rows))
    spread = float(trained.std()) or 1.0
    worst = float(np.sqrt(((found - trained) ** 2).mean())) / spread
    if not worst <= _TOLERANCE:
        raise EngineError(
            f"the trained graph of {name} does not score as its training did (they differ by {worst:.2g} of the "
            "scores' spread): it was left out; please report this"
        )


@dataclass(frozen=True, eq=False)
class MovedView:
    """The last layer of a source whose weights were moved. It is its own fitted form: other rows are never asked for.

    Attributes:
        job: of the source that was moved, with the items.
        moved: what training changed.
        origin: the moved source, in a folder that lasts as long as this object.
        choice: the engine that runs it.
    """

    job: Job
    moved: Moved
    origin: Source
    choice: Choice

    @classmethod
    def of(cls, job: Job, moved: Moved, choice: Choice, transfer: bool) -> MovedView:
        """Write the moved source.

        Raises:
            StorageError: there is no room for it.
        """
        folder = Path(mkdtemp(prefix="headstart-"))
        origin = moved_source(job.source, moved.weights, folder)
        view = cls(job, moved, origin if transfer else replace(origin, lineage=()), choice)
        finalize(view, _remove, folder)
        return view

    def matrix(self, rows: Rows) -> NDArray[np.float16]:
        """(len(rows), width) float16: the rows' items through the moved graph."""
        items = cast("Sequence[Path] | Sequence[str]", [self.job.items[i] for i in rows])
        features = embed(items, self.origin, choice=self.choice, use_cache=False)
        return features.select(self.moved.taps)

    def states(self) -> tuple[ViewState, ...]:
        return (ViewState("source", source=self.origin, taps=self.moved.taps),)


def _remove(folder: Path) -> None:
    from shutil import rmtree

    rmtree(folder, ignore_errors=True)
