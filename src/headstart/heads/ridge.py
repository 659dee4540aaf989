"""Ridge regression on one-hot, multi-hot or numeric targets, its penalty chosen by exact leave-one-out.

The penalty is the one of a fixed grid with the least left-out squared error. Squared error is what ridge fits, is
smooth in the penalty where accuracy is flat or ragged, and does not need a temperature first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats, HeadState
from headstart.heads.eigenbasis import Eigenbasis, factorise, floor_weights
from headstart.heads.linear import FittedLinear, LinearMap
from headstart.heads.loo import RidgePath, leave_out, left_out_scores
from headstart.heads.rows import check_training, present_classes, present_without
from headstart.tasks import Target, Task

# Relative to the Gram matrix's mean eigenvalue, so the grid has no scale.
PENALTIES: tuple[float, ...] = tuple(float(p) for p in np.logspace(-5, 3, 41))
# The score of a class that has no items; those that have some are near 0 and 1.
ABSENT = -1.0


@dataclass(frozen=True)
class Ridge:
    """Multi-output ridge with an unpenalised intercept. Any task.

    Scores are those of a regression on 0 and 1, and uncalibrated. `loo_scores` are exact given the penalty and the
    features' scaling, neither of which an item's own label alone decides.

    Attributes:
        penalties: the grid, relative to the Gram matrix's mean eigenvalue.
        exact: True, as leave-one-out is (see EigenHead).
    """

    exact: ClassVar[bool] = True
    penalties: tuple[float, ...] = PENALTIES

    def supports(self, task: Task) -> bool:
        """True: any task."""
        return True

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedLinear:
        """Fit on x (n, d) at the penalty with the least left-out error; deterministic, `seed` changes nothing.

        Raises:
            DataError: shapes that do not match, features that are not finite, fewer than two items or groups.
        """
        return self.fit_emphasised(x, target, None, weights=weights, groups=groups)

    def fit_emphasised(
        self,
        x: Floats,
        target: Target,
        emphasis: NDArray[np.float64] | None,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> FittedLinear:
        """`fit` with the scaled columns multiplied by `emphasis` (d,): the penalty spares those of large emphasis."""
        given = check_training(x, target, weights, groups)
        basis = factorise(x, floor_weights(given), emphasis)
        return self.fit_in(basis, target, weights=weights, groups=groups)

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
        given = check_training(basis.x, target, weights, groups)
        path = RidgePath.on(basis, target.encoded())
        absolute = np.asarray(self.penalties) * path.basis.mean
        left = leave_out(path, absolute, groups)
        best = left.best
        penalty = float(absolute[best])
        solved = path.solve(penalty)
        loo = left_out_scores(path, solved, penalty, left.gaps[:, best], groups)
        bias = path.y_mean.copy()
        bias[~present_classes(target, given)] = ABSENT
        loo[~present_without(target, given, groups)] = ABSENT
        fitted = LinearMap.fold(path.weight(solved), bias, path.basis.scaling)
        return FittedLinear("ridge", fitted, {"penalty": self.penalties[best]}, loo)

    def restore(self, state: HeadState) -> FittedLinear:
        """The fitted head from its state."""
        return FittedLinear.restore(state)
