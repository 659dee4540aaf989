"""Second-order moments of features and targets: all that ridge needs to know of its training items.

They form a group: moments of two disjoint sets add, moments of a withdrawn item subtract, a new class is one more
column. So shards merge in one pass, and a model is extended or made to forget without its data, with the result that
training from scratch would give.

All sums are of x - reference, for a fixed reference vector (by default the first batch's mean), in float64. Sums about
a fixed point are linear in the items, so subtraction undoes addition up to rounding; a reference near the mean keeps
the centred second moment, sum (x - r)(x - r)^T - W (m - r)(m - r)^T, free of cancellation. (Welford's running mean is
as stable for additions but is not undone exactly by a subtraction.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dger, dsyrk

from headstart.errors import DataError
from headstart.heads.base import Floats
from headstart.heads.linear import LinearMap
from headstart.heads.rows import chunks
from headstart.heads.scaling import Scaling, column_means

Array = NDArray[np.float64]


class NormalEquations(NamedTuple):
    """Ridge's normal equations on centred, scaled features: (gram + penalty I) W = cross.

    Attributes:
        scaling: the scaling of the features, from their own mean and variance.
        gram: (d, d) sum w z z^T.
        cross: (d, C) sum w z (y - mean y)^T.
        y_mean: (C,) weighted mean of the targets.
    """

    scaling: Scaling
    gram: Array
    cross: Array
    y_mean: Array

    def emphasised(self, emphasis: Array | None) -> NormalEquations:
        """Those of the scaled features times `emphasis` (d,); the Gram matrix is overwritten. None for no change."""
        if emphasis is None:
            return self
        gram = self.gram
        gram *= emphasis
        gram *= emphasis[:, None]
        return NormalEquations(self.scaling.times(emphasis), gram, self.cross * emphasis[:, None], self.y_mean)


def mean_eigenvalue(trace: float, n: int, d: int) -> float:
    """What penalties are relative to: the mean eigenvalue of a centred Gram matrix of n items, d columns.

    The mean is over the min(n - 1, d) eigenvalues that can differ from zero, the same in the primal and the dual;
    1 where the features do not vary.
    """
    return trace / max(1, min(n - 1, d)) if trace > 0 else 1.0


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted sums over items of x' = x - reference (d,) and y (C,), float64.

    Attributes:
        count: how many items of positive weight.
        weight: sum w.
        reference: (d,) the fixed point the sums are about.
        x: (d,) sum w x'.   xx: (d, d) sum w x' x'^T.   xy: (d, C) sum w x' y^T.
        y: (C,) sum w y.    yy: (C,) sum w y^2.
    """

    count: int
    weight: float
    reference: Array
    x: Array
    xx: Array
    xy: Array
    y: Array
    yy: Array

    @classmethod
    def from_batch(cls, x: Floats, y: Array, weights: Array | None = None, reference: Array | None = None) -> Moments:
        """The moments of x (n, d), y (n, C) under weights (n,), None for equal; about the batch's mean by default.

        x may be a float16 or float32 memory map: it is read in chunks of rows.

        Raises:
            DataError: the shapes do not match, or a feature is not finite.
        """
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
            raise DataError(f"features {x.shape} and targets {y.shape} must be matrices of as many rows")
        w = np.ones(len(x)) if weights is None else weights
        reference = column_means(x, np.ones(len(x))) if reference is None else reference
        d = x.shape[1]
        xx = np.zeros((d, d), order="F")
        sum_x, xy = np.zeros(d), np.zeros((d, y.shape[1]))
        for rows in chunks(len(x), 8 * d):
            shifted = x[rows] - reference  # (m, d) float64
            weighted = shifted * w[rows, None]
            sum_x += weighted.sum(axis=0)
            xy += weighted.T @ y[rows]
            shifted *= np.sqrt(w[rows])[:, None]
            xx = dsyrk(1.0, shifted.T, beta=1.0, c=xx, overwrite_c=True)  # upper triangle, in place
        _mirror(xx)
        return cls(int(np.count_nonzero(w)), float(w.sum()), reference, sum_x, xx, xy, w @ y, w @ np.square(y))

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of items, about this one's reference."""
        return self._combined(other, 1)

    def __sub__(self, other: Moments) -> Moments:
        """The moments without the items of `other`, which must be among those of this one."""
        return self._combined(other, -1)

    def about(self, reference: Array) -> Moments:
        """The same items' moments about another point."""
        step = self.reference - reference
        if not step.any():
            return self
        cross = np.outer(self.x, step)
        return replace(
            self,
            reference=reference,
            x=self.x + self.weight * step,
            xx=self.xx + cross + cross.T + self.weight * np.outer(step, step),
            xy=self.xy + np.outer(step, self.y),
        )

    def add_class(self, position: int) -> Moments:
        """With a new target column before `position`, which no item so far belongs to."""
        return replace(
            self,
            xy=np.insert(self.xy, position, 0.0, axis=1),
            y=np.insert(self.y, position, 0.0),
            yy=np.insert(self.yy, position, 0.0),
        )

    def remove_class(self, position: int) -> Moments:
        """Without the target column at `position`; its items stay, and count as of no class, until subtracted."""
        return replace(
            self,
            xy=np.delete(self.xy, position, axis=1),
            y=np.delete(self.y, position),
            yy=np.delete(self.yy, position),
        )

    def normal_equations(self, *, standardise: bool = True) -> NormalEquations:
        """What ridge solves: moments about the mean, of features scaled by their own spread, or only centred.

        Raises:
            DataError: there is no weight, or a sum is not finite.
        """
        if self.weight <= 0:
            raise DataError(f"moments of {self.count} items with total weight {self.weight:g}: nothing to fit on")
        shift = self.x / self.weight
        gram = dger(-1.0, shift, self.x, a=self.xx.copy(order="F"), overwrite_a=True)
        scaling = Scaling.from_variance(self.reference + shift, np.diag(gram) / self.weight)
        scaling = scaling if standardise else scaling.centring()
        gram *= scaling.factor
        gram *= scaling.factor[:, None]
        y_mean = self.y / self.weight
        cross = (self.xy - np.outer(self.x, y_mean)) * scaling.factor[:, None]
        return NormalEquations(scaling, gram, cross, y_mean)

    def solve(self, penalty: float) -> LinearMap:
        """The ridge fit of the targets at a positive penalty relative to the Gram matrix's mean eigenvalue."""
        scaling, gram, cross, y_mean = self.normal_equations()
        gram[np.diag_indices_from(gram)] += penalty * mean_eigenvalue(float(np.trace(gram)), self.count, len(gram))
        weight = cho_solve(cho_factor(gram, overwrite_a=True), cross)
        return LinearMap.fold(weight, y_mean, scaling)

    def _combined(self, other: Moments, sign: int) -> Moments:
        if self.xy.shape != other.xy.shape:
            raise DataError(
                f"moments of {self.xy.shape[0]} features, {self.xy.shape[1]} targets do not combine with "
                f"{other.xy.shape[0]}, {other.xy.shape[1]}: add the missing classes first"
            )
        other = other.about(self.reference)
        return Moments(
            self.count + sign * other.count,
            self.weight + sign * other.weight,
            self.reference,
            self.x + sign * other.x,
            self.xx + sign * other.xx,
            self.xy + sign * other.xy,
            self.y + sign * other.y,
            self.yy + sign * other.yy,
        )


def _mirror(a: Array) -> None:
    """Copy the upper triangle of a square matrix to the lower, in place and in blocks."""
    for rows in chunks(len(a), 8 * len(a), 2**22):
        a[rows, : rows.start] = a[: rows.start, rows].T
        block = a[rows, rows]
        a[rows, rows] = np.triu(block) + np.triu(block, 1).T
