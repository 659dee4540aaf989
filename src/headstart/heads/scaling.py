"""The scale of features, learned without labels: an affine map, so that a linear head folds it into its weights.

Each column is centred and divided by its standard deviation. Taps of a network differ by orders of magnitude in
scale, and a penalty treats columns alike, so equal spread is the neutral choice; it makes the blocks' borders
irrelevant. A column that hardly varies (a channel that fires for one item) would be blown up to the same spread, so
the divisor is at least 3 % of the median column's.

Measured with ridge on all taps of EfficientNet-Lite0 (ants or bees, blood cells, chest X-rays, solar cells) and of
MiniLM (banking77, 8 and 16 labels a class), mean test accuracy and log loss: floors from 0.3 to 10 % of the median are
equal within 0.3 points, no floor doubles the log loss of few items, one scale a block loses 2 points on MiniLM.
Normalising the rows of each block does not win, and is not affine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from headstart.errors import DataError
from headstart.heads.base import Floats
from headstart.heads.rows import chunks

# The divisor is at least this share of the median column's standard deviation.
FLOOR = 0.03
# A column whose spread is below this share of its mean is constant: what varies is rounding of float32 or float16.
CONSTANT = 1e-6


def column_means(x: Floats, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d,) float64 weighted means of the columns of x (n, d), over chunks of rows.

    Raises:
        DataError: a column holds NaN or infinite values, or its sum overflows.
    """
    sums = np.zeros(x.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in chunks(len(x), 8 * x.shape[1]):
            sums += weights[rows] @ x[rows].astype(np.float64)
    if not np.isfinite(sums).all():
        bad = int(np.count_nonzero(~np.isfinite(sums)))
        raise DataError(f"{bad} of {len(sums)} feature columns hold NaN or infinite values: clean the features first")
    return np.asarray(sums / weights.sum())


@dataclass(frozen=True, eq=False)
class Scaling:
    """z = (x - center) * factor.

    Attributes:
        center: (d,) float64 weighted mean of each column.
        factor: (d,) float64; 0 for a constant column, which thereby drops out.
    """

    center: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def from_variance(cls, center: NDArray[np.float64], variance: NDArray[np.float64]) -> Scaling:
        """The scaling of columns with these means and variances.

        Raises:
            DataError: a variance is not finite.
        """
        if not np.isfinite(variance).all():
            bad = int(np.count_nonzero(~np.isfinite(variance)))
            raise DataError(f"the variance of {bad} feature columns overflows: scale the features down")
        spread = np.sqrt(np.maximum(variance, 0.0))
        varies = spread > CONSTANT * np.abs(center)
        if not varies.any():
            return cls(center, np.zeros_like(center))
        floor = FLOOR * np.median(spread[varies])
        return cls(center, np.where(varies, 1.0 / np.maximum(spread, max(floor, np.finfo(float).tiny)), 0.0))

    @classmethod
    def fit(cls, x: Floats, weights: NDArray[np.float64]) -> Scaling:
        """The scaling of x (n, d) under item weights (n,); two passes in float64 over chunks of rows."""
        center = column_means(x, weights)
        variance = np.zeros(x.shape[1])
        with np.errstate(over="ignore"):
            for rows in chunks(len(x), 8 * x.shape[1]):
                centred = x[rows] - center
                variance += weights[rows] @ np.square(centred, out=centred)
        return cls.from_variance(center, variance / weights.sum())

    def times(self, emphasis: NDArray[np.float64]) -> Scaling:
        """The scaling with each scaled column multiplied by its emphasis (d,), none negative; 0 drops it."""
        return Scaling(self.center, self.factor * emphasis)

    def centring(self) -> Scaling:
        """The scaling that only centres; constant columns still drop out."""
        return Scaling(self.center, np.where(self.factor > 0, 1.0, 0.0))

    def apply(self, x: Floats, dtype: DTypeLike) -> Floats:
        """Scaled rows of x (m, d) in `dtype`; centring is done in float64, so an offset costs no precision."""
        return ((x - self.center) * self.factor).astype(dtype, copy=False)
