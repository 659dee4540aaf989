"""L2-penalised logistic regression: multinomial, or one binary regression a label; intercepts are free.

Fitted in the eigenbasis of the items' Gram matrix, which is exact because the penalty does not see a rotation: at most
min(n - 1, d) columns, and variables that L-BFGS can be preconditioned in.

The penalty is chosen by out-of-fold log loss on a path from strong to weak, each fit started from the ones before; the
path is left when the loss rises. `loo_scores` are the scores of the same five folds: fits that did not see the
item, nor its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.heads.base import Floats, HeadState
from headstart.heads.eigenbasis import Eigenbasis, factorise, floor_weights, leading_rows
from headstart.heads.folded_rows import EVERYTHING, FoldedRows
from headstart.heads.folds import inner_folds
from headstart.heads.linear import FittedLinear, LinearMap
from headstart.heads.logistic_folds import FoldFits
from headstart.heads.rows import check_training
from headstart.tasks import Target, Task

# Relative to the mean eigenvalue times the curvature p (1 - p) of equal probabilities, so that one grid serves any
# scale and any number of classes. Strong to weak.
PENALTIES: tuple[float, ...] = tuple(float(p) for p in np.logspace(0.5, -3, 8))
FOLDS = 5
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
        exact: False: eigenvectors in float32 are as good (see EigenHead).
    """

    exact: ClassVar[bool] = False
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
        given = check_training(x, target, weights, groups)
        basis = factorise(x, floor_weights(given), emphasis)
        return self.fit_in(basis, target, weights=weights, groups=groups, seed=seed)

    def fit_in(
        self,
        basis: Eigenbasis,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedLinear:
        """`fit` on items that are factorised already, under the same weights."""
        if not self.supports(target.task):
            raise DataError(f"logistic regression is for classes, got a {target.task} target: use ridge")
        given = check_training(basis.x, target, weights, groups)
        folds = inner_folds(target, groups, FOLDS, seed)
        order = np.argsort(folds, kind="stable")
        rows = FoldedRows.of(leading_rows(basis, order), folds[order])
        fits = FoldFits(basis, rows, target.take(order), given[order])
        best, fold_coefficients, out_of_fold = fits.choose(self.penalties, self.tolerance)
        start = {EVERYTHING: np.mean(list(fold_coefficients.values()), axis=0)}
        coefficients = fits.fit(self.penalties[best], start, FINAL * self.tolerance)[EVERYTHING]
        padded = np.zeros((len(basis.values), coefficients.shape[1]))
        padded[-rows.rows.shape[1] :] = coefficients[:-1]
        loo = np.empty_like(out_of_fold)
        loo[order] = out_of_fold
        fitted = LinearMap.fold(basis.to_features(padded), coefficients[-1], basis.scaling)
        return FittedLinear("logistic", fitted, {"penalty": self.penalties[best]}, loo)

    def restore(self, state: HeadState) -> FittedLinear:
        """The fitted head from its state."""
        return FittedLinear.restore(state)
