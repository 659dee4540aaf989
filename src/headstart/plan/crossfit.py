"""Out-of-fold predictions: every candidate on the same folds, each fold predicted by a fit that never saw it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Reading
from headstart.data.splits import Fold
from headstart.evidence.calibration import Calibration
from headstart.evidence.metrics import BALANCED, PRIMARY
from headstart.heads.base import FittedHead, Head
from headstart.heads.eigen_head import EigenHead
from headstart.heads.eigenbasis import Eigenbasis, floor_weights
from headstart.heads.rows import check_training
from headstart.plan.bases import Bases
from headstart.plan.parallel import each, side_by_side
from headstart.plan.views import FittedView, View
from headstart.tasks import Target

# Bytes of float16 features, of scores and of weights, above which memory decides.
_LARGE = 100_000_000


@dataclass(frozen=True, eq=False)
class Problem:
    """What every candidate is scored on.

    Attributes:
        target: labels of the n items.
        folds: the splits; time-ordered ones leave the earliest items untested.
        groups: (n,) codes or None.
        weights: (n,) with which every class counts the same; None where every item does.
        bases: where heads leave what they factorised to others, fold by fold; None where each head is alone.
    """

    target: Target
    folds: list[Fold]
    groups: NDArray[np.int64] | None
    weights: NDArray[np.float64] | None
    seed: int
    bases: Bases | None = None

    @property
    def metric(self) -> str:
        """The name of the metric that decides."""
        return PRIMARY[self.target.task] if self.weights is None else BALANCED

    def tested(self) -> NDArray[np.int64]:
        """The positions that some fold tests, ascending."""
        return np.sort(np.concatenate([fold.test for fold in self.folds]))

    def first(self, folds: int) -> Problem:
        """The problem with only its first folds."""
        return replace(self, folds=self.folds[:folds])

    def weights_of(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """The weights of some items."""
        return None if self.weights is None else self.weights[rows]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What a candidate said of items it had not seen.

    Attributes:
        scores: (n, C) uncalibrated; rows that no fold tests are zero.
        probabilities: (n, C) calibrated on training items only (regression: the prediction).
        seconds: wall time of all folds, side by side where they are.
        calibration: of a fit on everything, where only the folds can tell it; None where exact leave-one-out scores do.
        reading: of a candidate that moves weights: where the folds together read it off.
        notes: what the user should know of its trainings.
    """

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    seconds: float
    calibration: Calibration | None = None
    reading: Reading | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Fitted:
    """A candidate fitted on all items."""

    view: FittedView
    head: FittedHead
    calibration: Calibration


@dataclass(eq=False)
class CrossFit:
    """A head's fits on a view, one a fold, to be run in any order, side by side with those of others.

    Each fold's fit is calibrated on the leave-one-out scores of its training items, and predicts its test items. A head
    without closed-form leave-one-out scores (boosted trees) is calibrated, for each fold, on the out-of-fold scores of
    the other folds: one scalar, and never the labels of the fold it is applied to.
    """

    view: View
    head: Head
    problem: Problem

    def __post_init__(self) -> None:
        self._scores = np.zeros((len(self.problem.target), self.problem.target.n_outputs))
        self._calibrations: list[Calibration | None] = [None] * len(self.problem.folds)
        self._seconds = [0.0] * len(self.problem.folds)

    @property
    def beside(self) -> bool:
        """False where folds are to be fitted one after another on all cores: memory then holds one copy of them."""
        return not _large(self.view, self.problem)

    def reserve(self) -> None:
        """Have what the folds factorise kept for other heads, if there is room."""
        if self.problem.bases is not None and isinstance(self.head, EigenHead) and self.head.exact:
            self.problem.bases.reserve(self.view, self.problem.folds)

    def fit(self, fold: int) -> None:
        """Fit on the training items of one fold, predict its test items."""
        start = time.perf_counter()
        train, test = self.problem.folds[fold].train, self.problem.folds[fold].test
        view, bases = self.view.fit(train), self.problem.bases
        basis_of = None if bases is None else partial(bases.basis, self.view, fold)
        fitted = _fit(self.head, view, train, self.problem, basis_of)
        self._scores[test] = fitted.scores(view.matrix(test))
        if fitted.loo_scores is not None:
            target, weights = self.problem.target.take(train), self.problem.weights_of(train)
            self._calibrations[fold] = Calibration.fit(target.task, fitted.loo_scores, target, weights)
        self._seconds[fold] = time.perf_counter() - start

    def finish(self) -> OutOfFold:
        """What the fits of all folds said together."""
        target, tested, weights = self.problem.target, self.problem.tested(), self.problem.weights
        probabilities = np.zeros_like(self._scores)
        for fold, own in zip(self.problem.folds, self._calibrations, strict=True):
            calibration = own or calibrated(target, self._scores, np.setdiff1d(tested, fold.test), weights)
            probabilities[fold.test] = calibration.probabilities(self._scores[fold.test])
        lacking = any(own is None for own in self._calibrations)
        whole = calibrated(target, self._scores, tested, weights) if lacking else None
        seconds = sum(self._seconds) / (min(side_by_side(), len(self._seconds)) if self.beside else 1)
        return OutOfFold(self._scores, probabilities, seconds, whole)


def crossfit(view: View, head: Head, problem: Problem) -> OutOfFold:
    """All fits of one head on one view, side by side where memory allows."""
    run = CrossFit(view, head, problem)
    run.reserve()
    each(run.fit, range(len(problem.folds)), beside=run.beside)
    return run.finish()


def calibrated(
    target: Target, scores: NDArray[np.float64], rows: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> Calibration:
    """The calibration of (n, C) scores on some rows; where there are none, logits are taken at their word.

    There are none where a single fold was asked for: the earliest of a time order, or a trial.
    """
    if len(rows):
        return Calibration.fit(target.task, scores[rows], target.take(rows), None if weights is None else weights[rows])
    if len(scores) == 0 or target.task == "regression":
        return Calibration(target.task)
    below = scores - scores.max(axis=1, keepdims=True) if target.exclusive else scores
    floor, ceiling = min(float(below.min()), -1.0), max(float(scores.max()), 1.0)
    return Calibration(target.task, floor=floor, ceiling=ceiling, doubt=1.0 / (len(scores) + 2))


def fit_all(view: View, head: Head, problem: Problem, out_of_fold: OutOfFold) -> Fitted:
    """Fit on every item; calibrate on exact leave-one-out scores, or on the out-of-fold ones where a head has none."""
    rows = np.arange(len(problem.target))
    fitted_view = view.fit(rows)

    def one(_: None) -> FittedHead:
        return _fit(head, fitted_view, rows, problem)

    fitted = each(one, [None], beside=not _large(view, problem))[0]
    if fitted.loo_scores is not None:
        calibration = Calibration.fit(problem.target.task, fitted.loo_scores, problem.target, problem.weights)
        return Fitted(fitted_view, fitted, calibration)
    whole = calibrated(problem.target, out_of_fold.scores, problem.tested(), problem.weights)
    return Fitted(fitted_view, fitted, out_of_fold.calibration or whole)


def _large(view: View, problem: Problem) -> bool:
    """True where folds are fitted one after another on all cores, so that memory holds one copy of what is large."""
    row = view.width * np.dtype(np.float16).itemsize + score_bytes(problem.target)
    weights = 3 * np.dtype(np.float64).itemsize * view.width * problem.target.n_outputs
    return len(problem.target) * row + weights > _LARGE


def score_bytes(target: Target) -> int:
    """Roughly what a head holds of scores for each item while it is fitted: half a dozen float64 an output."""
    return 6 * np.dtype(np.float64).itemsize * target.n_outputs


def _fit(
    head: Head,
    view: FittedView,
    rows: NDArray[np.int64],
    problem: Problem,
    basis_of: Callable[..., Eigenbasis] | None = None,
) -> FittedHead:
    groups = None if problem.groups is None else problem.groups[rows]
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None  # of one group items are left out, since leaving out the group would leave nothing
    x, target, weights = view.matrix(rows), problem.target.take(rows), problem.weights_of(rows)
    if basis_of is None or not isinstance(head, EigenHead):
        return head.fit(x, target, weights=weights, groups=groups, seed=problem.seed)
    floored = floor_weights(check_training(x, target, weights, groups))
    basis = basis_of(x, floored, exact=head.exact)
    return head.fit_in(basis, target, weights=weights, groups=groups, seed=problem.seed)
