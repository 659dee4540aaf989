"""L2-penalised logistic regression: multinomial, or one binary regression a label; intercepts are free.

Fitted in the eigenbasis of the items' Gram matrix, which is exact because the penalty does not see a rotation: at most
min(n - 1, d) columns, and variables that L-BFGS can be preconditioned in.

The penalty is chosen by out-of-fold log loss on a path from strong to weak, each fit started from the ones before; the
path is left when the loss rises. `loo_scores` are the scores of the same five folds: fits that did not see the
item, nor its group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.heads.base import Floats, HeadState
from headstart.heads.eigenbasis import Eigenbasis, factorise, floor_weights, leading_rows
from headstart.heads.folds import inner_folds
from headstart.heads.likelihood import Likelihood, log_loss
from headstart.heads.linear import FittedLinear, LinearMap
from headstart.heads.rows import check_training, present_classes
from headstart.tasks import Target, Task

Array = NDArray[np.float64]

# Relative to the mean eigenvalue times the curvature p (1 - p) of equal probabilities, so that one grid serves any
# scale and any number of classes. Strong to weak.
PENALTIES: tuple[float, ...] = tuple(float(p) for p in np.logspace(0.5, -3, 8))
FOLDS = 5
# The logit of a class without items; the others' logits sum to zero.
ABSENT = -20.0
# L-BFGS stops when a step improves the objective by less than this share in the folds' fits, whose loss over the items
# left out no longer moves by then, and by less than FINAL of it in the one fit that is kept.
TOLERANCE = 1e-4
FINAL = 1e-2


@dataclass(frozen=True)
class Logistic:
    """Logistic regression for classes and labels; not for numbers. Scores are logits.

    Attributes:
        penalties: the path, strong to weak, relative (see PENALTIES).
        tolerance: relative improvement of the objective at which a fold's fit stops.
    """

    penalties: tuple[float, ...] = PENALTIES
    tolerance: float = TOLERANCE

    def supports(self, task: Task) -> bool:
        """True but for regression."""
        return task != "regression"

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedLinear:
        """Fit on x (n, d) at the penalty with the least out-of-fold log loss; `seed` deals the folds.

        Raises:
            DataError: a numeric target, shapes that do not match, features that are not finite, fewer than two items
                or groups.
        """
        return self.fit_emphasised(x, target, None, weights=weights, groups=groups, seed=seed)

    def fit_emphasised(
        self,
        x: Floats,
        target: Target,
        emphasis: NDArray[np.float64] | None,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedLinear:
        """`fit` with the scaled columns multiplied by `emphasis` (d,): the penalty spares those of large emphasis."""
        if not self.supports(target.task):
            raise DataError(f"logistic regression is for classes, got a {target.task} target: use ridge")
        given = check_training(x, target, weights, groups)
        basis = factorise(x, floor_weights(given), emphasis)
        rows = leading_rows(basis)
        fits = _Fits(basis, rows, target, given, inner_folds(target, groups, FOLDS, seed))
        best, fold_coefficients, loo = fits.choose(self.penalties, self.tolerance)
        start = np.mean(fold_coefficients, axis=0)
        everything = np.ones(len(x), dtype=bool)
        coefficients = fits.fit(self.penalties[best], everything, start, FINAL * self.tolerance)
        padded = np.zeros((len(basis.values), coefficients.shape[1]))
        padded[-rows.shape[1] :] = coefficients[:-1]
        fitted = LinearMap.fold(basis.to_features(padded), coefficients[-1], basis.scaling)
        return FittedLinear("logistic", fitted, {"penalty": self.penalties[best]}, loo)

    def restore(self, state: HeadState) -> FittedLinear:
        """The fitted head from its state."""
        return FittedLinear.restore(state)


@dataclass(frozen=True, eq=False)
class _Fits:
    """Fits on subsets of the items in one eigenbasis."""

    basis: Eigenbasis
    rows: Floats
    target: Target
    weights: Array
    folds: NDArray[np.int64]

    def choose(self, penalties: tuple[float, ...], tolerance: float) -> tuple[int, list[Array], Array]:
        """The position of the best penalty, its folds' coefficients, and its out-of-fold scores (n, C)."""
        y = self.target.encoded()
        q, n_outputs = self.rows.shape[1], y.shape[1]
        kept = before = [np.zeros((q + 1, n_outputs))] * (int(self.folds.max()) + 1)
        best, best_loss, found, found_scores = 0, np.inf, kept, np.zeros_like(y)
        for position, penalty in enumerate(penalties):
            scores = np.empty_like(y)
            # Along the logarithm of the penalty coefficients move steadily: each fit starts where the last step leads.
            starts = [2 * now - then for now, then in zip(kept, before, strict=True)] if position > 1 else kept
            before = kept
            kept = [self.fit(penalty, self.folds != fold, start, tolerance) for fold, start in enumerate(starts)]
            for fold, coefficients in enumerate(kept):
                out = self.folds == fold
                scores[out] = self.rows[out] @ coefficients[:-1] + coefficients[-1]
            loss = float(self.weights @ log_loss(scores, y, self.target.exclusive))
            if loss < best_loss:
                best, best_loss, found, found_scores = position, loss, kept, scores
            else:
                break
        return best, found, found_scores

    def fit(self, penalty: float, taken: NDArray[np.bool_], start: Array, tolerance: float) -> Array:
        """(q + 1, C) coefficients of the fit on some items; classes they lack get the logit ABSENT."""
        target = self.target.take(taken)
        weights = self.weights[taken]
        present = present_classes(target, weights)
        dtype = self.rows.dtype
        values = self.basis.values[-self.rows.shape[1] :]
        likelihood = Likelihood(
            self.rows[taken],
            values,
            target.encoded()[:, present].astype(dtype),
            weights.astype(dtype),
            target.exclusive,
        )
        even = 1.0 / max(2, present.sum()) if target.exclusive else 0.5
        absolute = penalty * self.basis.mean * even * (1 - even)
        out = np.zeros_like(start)
        out[:, present] = likelihood.minimise(absolute, start[:, present], tolerance)
        if target.exclusive:
            out[-1, present] -= out[-1, present].mean()
            out[-1, ~present] = ABSENT
        return out
