"""Which columns say something of the target, one at a time: what keeps costly heads quick on wide features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from headstart.heads.base import Floats
from headstart.tasks import Target

# Columns are ranked on at most this many items: the rank of a useful column needs no more.
MOST_ITEMS = 5_000


def strongest_columns(
    x: Floats | sparse.csr_matrix, target: Target, weights: NDArray[np.float64], k: int, seed: int
) -> NDArray[np.int64]:
    """Positions, ascending, of the k columns of x (n, d) of the largest `dependence` on the target; all if d <= k."""
    n, d = x.shape
    if d <= k:
        return np.arange(d)
    if n > MOST_ITEMS:
        some = np.sort(np.random.default_rng(seed).choice(n, MOST_ITEMS, replace=False))
        x, target, weights = x[some], target.take(some), weights[some]
    return np.sort(np.argsort(-dependence(x, target, weights), kind="stable")[:k])


def dependence(x: Floats | sparse.csr_matrix, target: Target, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d,) share of each column's weighted variance that the target explains, 0 to 1.

    Exclusive classes: eta squared = sum_c corr(x, [y = c])^2 (1 - p_c), which orders columns as the F test of ANOVA
    does and, for columns of 0 and 1, as the chi-squared test. Multilabel: the largest squared correlation with a label.
    Regression: the squared correlation. Missing cells (NaN) count as the column's mean, constant columns as 0.
    """
    share = weights / weights.sum()
    encoded = target.encoded()  # (n, C)
    p = share @ encoded
    centred = encoded - p
    mean, spread, x = _moments(x, share)
    covariance = np.asarray(x.T @ (share[:, None] * centred))  # (d, C): the mean of x drops out, `centred` has none
    scale = np.outer(spread, share @ centred**2)
    # A spread that is rounding of a large mean is no spread.
    varies = (spread > 1e-12 * mean**2)[:, None] & (scale > 0)
    squared = np.where(varies, covariance**2 / np.where(varies, scale, 1), 0)
    return np.asarray(squared @ (1 - p) if target.exclusive else squared.max(axis=1))


def _moments(
    x: Floats | sparse.csr_matrix, share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Weighted mean and variance of each column, and x as float64 (a dense one centred, its gaps 0)."""
    if sparse.issparse(x):
        x = x.astype(np.float64)
        mean = np.asarray(share @ x).ravel()
        return mean, np.maximum(np.asarray(share @ x.multiply(x)).ravel() - mean**2, 0), x
    dense = np.asarray(x, np.float64)
    there = np.isfinite(dense)
    filled = np.where(there, dense, 0)
    mean = share @ filled / np.maximum(share @ there, np.finfo(float).tiny)
    centred = np.where(there, filled - mean, 0)
    return mean, share @ centred**2, centred
