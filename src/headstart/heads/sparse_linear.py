"""A linear model of wide sparse features: logistic regression (one a label where many may hold), or ridge for a number.

The penalty is chosen by held-out loss, after the one-parameter rescaling of scores that calibration would apply: a weak
penalty is not preferred merely for being more certain. Small problems are cross-fitted in five folds, which also gives
the scores of items left out. Large ones are chosen on one held-out fifth and have none (`loo_scores` is None): the
caller's folds serve. Work is bounded: the larger the problem, the fewer steps and penalties.

L-BFGS holds two dozen arrays as large as the weights. Past MOST_WEIGHTS of them (the widest TF-IDF with 250 classes) it
is ridge regression on hashed columns instead (hashed_ridge). Where both could be fitted that had 4 to 6 points less:
85 % against 91 % on banking77, 87 % against 91 % on 7,500 items of clinc.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from headstart.errors import ArtefactError
from headstart.heads.base import Floats, HeadState
from headstart.heads.canonical import Link, Weights, losses, minimised, prior
from headstart.heads.design import MOST_DUAL, Design, sparse_effort
from headstart.heads.folds import inner_folds
from headstart.heads.hashed_ridge import hashed_width, hashing, ridge_on
from headstart.heads.linear import stored_weights
from headstart.heads.rows import check_scoring, check_training
from headstart.tasks import TASKS, Target, Task

Array = NDArray[np.float64]

FOLDS = 5
# Inverse penalties, relative to the mean squared length of a row.
STRENGTHS = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)
STRENGTHS_LARGE = (4.0, 16.0, 64.0)
# Score scales tried before held-out losses are compared.
_RESCALINGS = 2.0 ** np.arange(-3, 4.5, 0.5)
# Nanoseconds, about. Steps longer than SMALL make folds too dear; BUDGET is for all steps of a large problem. More
# there (banking77: 60 instead of 16) were no better on items held out: a weak penalty gains from stopping early.
SMALL, BUDGET = 7.5e6, 2.5e9
_STEPS = 60
# What small problems take for all folds and penalties, and the terms of a text: as seen.
_STEPS_SMALL, _TERMS = 700, 100
# Fits of a large problem: one a penalty, and the last.
_FITS_LARGE = len(STRENGTHS_LARGE) + 1
# Weights that L-BFGS may have, 40 MB.
MOST_WEIGHTS = 10_000_000


class SparseLinear:
    """The head registered as "sparse-linear". Accepts CSR as it comes, and dense features, which it standardises."""

    def supports(self, task: Task) -> bool:
        """Every task."""
        return task in TASKS

    def fit(
        self,
        x: Floats | sparse.csr_matrix,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedSparseLinear:
        """Fit on x (n, d); the penalty is chosen within these items, groups kept whole."""
        w = check_training(x, target, weights, groups)  # type: ignore[arg-type]
        design = Design.of(x, w)
        if target.task != "regression" and design.rows.shape[1] * target.n_outputs > MOST_WEIGHTS:
            return _hashed(x, target, w, inner_folds(target, groups, FOLDS, seed))
        centre, spread = _unit(target, w)
        problem = Problem(_link(target.task), design.rows, (target.encoded() - centre) / spread, w)
        folds = inner_folds(target, groups, FOLDS, seed)
        effort = design.effort * target.n_outputs
        loo = None
        if effort <= SMALL:
            left_out = cross_fitted(problem, folds)
            best = int(np.argmin([problem.held_out_loss(scores, np.arange(len(w))) for scores in left_out]))
            strength, loo = STRENGTHS[best], left_out[best] * spread + centre
            (fitted,) = problem.path(np.arange(len(w)), (strength,), _STEPS)
        else:
            steps = _steps(effort)
            strength, start = chosen_on_one_fold(problem, folds, steps)
            (fitted,) = problem.path(np.arange(len(w)), (strength,), steps, start)
        weight, bias = design.on_features(Weights(fitted.weight * spread, fitted.bias * spread + centre))
        return FittedSparseLinear(weight, bias, strength, loo)

    def restore(self, state: HeadState) -> FittedSparseLinear:
        """The fitted head from its state; loo_scores are None.

        Raises:
            ArtefactError: as `stored_weights`.
        """
        weight, bias = stored_weights(state)
        width = state.settings.get("width")
        if width is not None and (type(width) is not int or width <= len(weight)):
            raise ArtefactError(
                f"the stored sparse-linear head has {len(weight)} weights for {width!r} columns: damaged file"
            )
        return FittedSparseLinear(weight, bias, float(state.settings.get("strength", 0.0)), width=width)


def working_bytes(n: int, d: int, outputs: int) -> int:
    """What a fit on sparse (n, d) holds beside the rows and their scores: weights, and the items' kernel."""
    dual = n <= MOST_DUAL
    weights = outputs * (min(n, d) if dual else d)
    if weights > MOST_WEIGHTS:  # float64: two Gram matrices, and right-hand sides and weights twice
        columns = min(d, hashed_width(outputs))
        return 32 * columns * (columns + outputs)
    return 104 * weights + (20 * n**2 if dual else 0)


def fit_seconds(n: int, d: int, outputs: int) -> float:
    """About what a fit on TF-IDF rows (n, d) takes of one core: 984 x 14,555 x 77, 3 s; 8,002 x 21,388 x 77, 4 s."""
    effort = sparse_effort(_TERMS * n, d) * outputs
    steps = _STEPS_SMALL if effort <= SMALL else _FITS_LARGE * _steps(effort)
    return 1.5e-9 * effort * steps


def _steps(effort: float) -> int:
    """The most steps of a fit of a large problem, of which one takes `effort`."""
    return int(np.clip(BUDGET / (_FITS_LARGE * effort), 10, _STEPS))


def _hashed(
    x: Floats | sparse.csr_matrix, target: Target, weights: Array, folds: NDArray[np.int64]
) -> FittedSparseLinear:
    """Ridge regression of the columns, hashed where they are too many."""
    fewer = hashed_width(target.n_outputs)
    width = x.shape[1] if x.shape[1] > fewer else None
    design = Design.of(x if width is None else _rows(x, width, fewer), weights)
    strength, fit = ridge_on(design.rows, target, weights, folds)
    weight, bias = design.on_features(fit)
    return FittedSparseLinear(weight, bias, strength, width=width)


def _rows(x: Floats | sparse.csr_matrix, width: int, fewer: int) -> Floats | sparse.csr_matrix:
    """(m, fewer) hashed columns of x (m, width)."""
    return (x if sparse.issparse(x) else np.asarray(x, np.float64)) @ hashing(width, fewer)


def _link(task: Task) -> Link:
    links: dict[Task, Link] = {"regression": "identity", "multilabel": "sigmoid"}
    return links.get(task, "softmax")


def _unit(target: Target, weights: Array) -> tuple[float, float]:
    """The mean and spread to take out of the numbers to predict, so that a penalty means the same; else 0 and 1."""
    if target.task != "regression":
        return 0.0, 1.0
    y, share = target.y.astype(np.float64), weights / weights.sum()
    centre = float(share @ y)
    return centre, float(np.sqrt(share @ (y - centre) ** 2)) or 1.0


@dataclass(frozen=True, eq=False)
class FittedSparseLinear:
    """scores = x @ weight + bias.

    Attributes:
        weight: (d, C) float32.
        bias: (C,) float64.
        strength: the chosen inverse penalty.
        loo_scores: (n, C) float64 from fits on the other folds; None for large problems and after `restore`.
        width: of x, where its columns are hashed to d; else None.
    """

    weight: NDArray[np.float32]
    bias: Array
    strength: float
    loo_scores: Array | None = None
    width: int | None = None

    def scores(self, x: Floats | sparse.csr_matrix) -> Array:
        """(m, C) float64 scores of x (m, d): logits, log-odds of labels, or the number."""
        check_scoring(x, self.width or len(self.weight))  # type: ignore[arg-type]
        if self.width is not None:
            x = _rows(x, self.width, len(self.weight))
        exact = x if sparse.issparse(x) else np.asarray(x, np.float64)
        out = np.asarray(exact @ self.weight, np.float64)
        out += self.bias
        return out

    def state(self) -> HeadState:
        """Arrays `weight` and `bias`; the strength, and the width where columns are hashed, as settings."""
        settings = {"strength": self.strength} | ({} if self.width is None else {"width": self.width})
        return HeadState("sparse-linear", {"weight": self.weight, "bias": self.bias}, settings)


@dataclass(frozen=True, eq=False)
class Problem:
    """What is fitted: rows x (n, r), encoded y (n, C), weights (n,)."""

    link: Link
    x: Any
    y: Array
    weights: Array

    def path(
        self, items: NDArray[np.int64], strengths: tuple[float, ...], steps: int, start: Weights | None = None
    ) -> Iterator[Weights]:
        """Fits on `items` at each strength, weak to strong, each from where the one before ended."""
        x, y, w = self.x[items], self.y[items], self.weights[items]
        present = w @ y > 0 if self.link == "softmax" else np.ones(y.shape[1], bool)
        fit = prior(self.link, y[:, present], w, x.shape[1])
        if start is not None:
            fit = Weights(start.weight[:, present], start.bias[present])
        for strength in strengths:
            fit = minimised(self.link, x, y[:, present], w, strength, fit, steps)
            yield fit if present.all() else _with_absent(fit, present, x)

    def held_out_loss(self, scores: Array, items: NDArray[np.int64]) -> float:
        """Weighted loss of scores (m, C) of `items`, at the best common rescaling of the scores."""
        y, w = self.y[items], self.weights[items]
        rescalings = (1.0,) if self.link == "identity" else _RESCALINGS
        return min(float(w @ losses(self.link, scores * factor, y)) for factor in rescalings)


def _with_absent(fit: Weights, present: NDArray[np.bool_], x: Any) -> Weights:
    """The fit with columns for classes it never saw: one constant, by the rule of succession below any item's best."""
    floor = fit.scores(x).max(axis=1).min() - np.log(2 * (x.shape[0] + 1))
    weight, bias = np.zeros((x.shape[1], len(present))), np.full(len(present), floor)
    weight[:, present], bias[present] = fit.weight, fit.bias
    return Weights(weight, bias)


def cross_fitted(problem: Problem, folds: NDArray[np.int64]) -> Array:
    """(strengths, n, C) scores of each item from the fit on the other folds, at each of STRENGTHS."""
    scores = np.zeros((len(STRENGTHS), *problem.y.shape))
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if problem.weights[train].any():
            for i, fit in enumerate(problem.path(train, STRENGTHS, _STEPS)):
                scores[i, test] = fit.scores(problem.x[test])
    return scores


def chosen_on_one_fold(problem: Problem, folds: NDArray[np.int64], steps: int) -> tuple[float, Weights]:
    """The strength of STRENGTHS_LARGE with the least loss on the first fold, and its fit on the others."""
    train, test = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    best: tuple[float, float, Weights] | None = None
    for strength, fit in zip(STRENGTHS_LARGE, problem.path(train, STRENGTHS_LARGE, steps), strict=True):
        loss = problem.held_out_loss(fit.scores(problem.x[test]), test)
        if best is None or loss < best[0]:
            best = (loss, strength, fit)
    assert best is not None
    return best[1], best[2]
