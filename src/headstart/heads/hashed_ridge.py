"""Ridge regression on hashed columns: what is affordable of a wide linear model where outputs are very many.

Columns are added up, with signs, in fewer ones (feature hashing: Weinberger et al., 2009): products of rows stay what
they are on average, no term is left out, and no label has a say. The normal equations are as wide as the hashed columns
whatever the number of outputs, and targets of zeros and ones stay sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from headstart.heads.canonical import Weights
from headstart.heads.rows import chunks, present_classes
from headstart.tasks import Target

Array = NDArray[np.float64]

# Of 80 MB in float64; and columns, which take a second to factorise.
MOST_WEIGHTS, MOST_COLUMNS = 10_000_000, 3_000
# Inverse penalties, relative to the mean squared length of a row.
STRENGTHS = (0.25, 1.0, 4.0, 16.0)
# The score of a class that has no items; those that have some are near 0 and 1.
ABSENT = -1.0
# Multiplicative hashing: odd numbers near 2^32 over the golden ratio, and (for signs) over the square root of two.
_PLACES, _SIGNS = 2_654_435_769, 3_037_000_493


def hashed_width(n_outputs: int) -> int:
    """How many columns there may be for so many outputs."""
    return max(1, min(MOST_COLUMNS, MOST_WEIGHTS // n_outputs))


def hashing(width: int, fewer: int) -> sparse.csr_matrix:
    """(width, fewer) float32: x @ hashing has column j of x, times 1 or -1, added to one of the fewer columns."""
    columns = np.arange(width, dtype=np.uint64)
    places = ((columns * np.uint64(_PLACES)) % np.uint64(2**32) * np.uint64(fewer)) >> np.uint64(32)
    signs = 1 - 2 * (((columns * np.uint64(_SIGNS)) >> np.uint64(31)) & np.uint64(1)).astype(np.float32)
    return sparse.csr_matrix((signs, places.astype(np.int64), np.arange(width + 1)), (width, fewer))


def ridge_on(rows: Any, target: Target, weights: Array, folds: NDArray[np.int64]) -> tuple[float, Weights]:
    """The strength of STRENGTHS with the least squared error on the first fold, and the fit on everything.

    Args:
        rows: (n, r) of mean squared length one, dense or CSR.
        target: classes or labels.
        weights: (n,) non-negative.
        folds: (n,) from 0.
    """
    y = _sparse(target)
    train, test = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    some = _Equations.of(rows[train], y[train], weights[train])
    errors = [_error(some.solved(strength), rows[test], y[test], weights[test]) for strength in STRENGTHS]
    del some
    strength = STRENGTHS[int(np.argmin(errors))]
    fit = _Equations.of(rows, y, weights).solved(strength)
    fit.bias[~present_classes(target, weights)] = ABSENT
    return strength, fit


def _sparse(target: Target) -> sparse.csr_matrix:
    """(n, C) zeros and ones, float64."""
    if not target.exclusive:
        return sparse.csr_matrix(target.y, dtype=np.float64)
    n = len(target)
    return sparse.csr_matrix((np.ones(n), target.y.astype(np.int64), np.arange(n + 1)), (n, target.n_outputs))


@dataclass(frozen=True, eq=False)
class _Equations:
    """gram @ weight = cross, of centred rows and targets under weights.

    Attributes:
        gram: (r, r).
        cross: (r, C).
        x_mean: (r,).
        y_mean: (C,).
    """

    gram: Array
    cross: Array
    x_mean: Array
    y_mean: Array

    @classmethod
    def of(cls, rows: Any, y: sparse.csr_matrix, weights: Array) -> _Equations:
        """Of rows (n, r), targets (n, C) and weights (n,) that are not all zero."""
        x, total = rows.astype(np.float64), weights.sum()
        weighted = (sparse.diags(weights) @ x).T
        gram, cross = _dense(weighted @ x), _dense(weighted @ y)
        x_mean, y_mean = (x.T @ weights) / total, (y.T @ weights) / total
        gram -= total * np.outer(x_mean, x_mean)
        cross -= (total * x_mean)[:, None] * y_mean
        return cls(gram, cross, x_mean, y_mean)

    def solved(self, strength: float) -> Weights:
        """At the penalty 1 / strength; the intercept is free."""
        lifted = self.gram.copy()
        lifted.flat[:: len(lifted) + 1] += 1 / strength
        weight = cho_solve(cho_factor(lifted, lower=True, overwrite_a=True), self.cross)
        return Weights(weight, self.y_mean - self.x_mean @ weight)


def _dense(product: Any) -> Array:
    return np.asarray(product.toarray() if hasattr(product, "toarray") else product)


def _error(fit: Weights, rows: Any, y: sparse.csr_matrix, weights: Array) -> float:
    """The weighted squared error, over chunks of rows."""
    total = 0.0
    for some in chunks(rows.shape[0], 8 * y.shape[1]):
        beyond = fit.scores(rows[some]) - _dense(y[some])
        total += float(weights[some] @ (beyond**2).sum(axis=1))
    return total
