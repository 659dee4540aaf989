"""The items as a gradient solver is best given them: of unit scale, and in their own span where they are few.

With the kernel K = X X' = L L' (Cholesky), an L2 penalty does not tell the rows of L from those of X, and L has only n
columns: n items of tens of thousands of columns become an n x n problem with the same minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular

from headstart.heads.base import Floats
from headstart.heads.canonical import Weights
from headstart.heads.scaling import Scaling

Array = NDArray[np.float64]

# More items than this are never taken to their span: the kernel's memory and its factorisation grow too large.
MOST_DUAL = 3_000


@dataclass(frozen=True, eq=False)
class Design:
    """The items as the solver sees them, and the way back to the features.

    Attributes:
        rows: (n, r) float32 of mean squared length one: CSR, or dense where the features are or in the items' span.
        features: (n, d) float32, dense ones standardised; rows = features * factor where `root` is None.
        factor: what makes the mean squared length one.
        root: (n, n) L of the kernel of features * factor where rows = L, else None.
        scaling: of dense features.
    """

    rows: Any
    features: Any
    factor: float
    root: Array | None
    scaling: Scaling | None

    @classmethod
    def of(cls, x: Floats | sparse.csr_matrix, weights: Array) -> Design:
        """For x (n, d); dense x is standardised under `weights` (n,)."""
        n, d = x.shape
        features: Any
        if sparse.issparse(x):
            scaling, features = None, sparse.csr_matrix(x, dtype=np.float32)
            squared, cells = float(np.vdot(features.data, features.data)), features.data.size
        else:
            scaling = Scaling.fit(x, weights)
            features = scaling.apply(x, np.float32)
            squared, cells = float(np.vdot(features, features)), features.size
        factor = float(np.sqrt(n / squared)) if squared > 0 else 1.0
        # A step's products take 0.08 ns a cell where dense and 0.4 where sparse, and L-BFGS itself 3 a column.
        if n < d and n <= MOST_DUAL and n * n < 5 * cells + 40 * d:
            product: Any = features @ features.T
            kernel = np.asarray(product.toarray() if scaling is None else product, np.float64) * factor**2
            # Equal or empty texts make the kernel singular: each item gets a little of its own.
            root = cholesky(kernel + 1e-6 * np.eye(n), lower=True)
            return cls(root.astype(np.float32), features, factor, root, scaling)
        return cls(features * np.float32(factor), features, factor, None, scaling)

    @property
    def effort(self) -> float:
        """Nanoseconds, about, of a step of the solver for one output."""
        if sparse.isspmatrix_csr(self.rows):
            return sparse_effort(self.rows.data.size, self.rows.shape[1])
        return float(self.rows.size / 16 + 2.5 * self.rows.shape[1])

    def on_features(self, fitted: Weights) -> tuple[NDArray[np.float32], Array]:
        """Weight (d, C) and bias (C,) on the features as they come, of a fit on `rows`."""
        if self.root is None:
            weight = fitted.weight * self.factor
        else:
            # L v = K a with K = L L': a = L'^-1 v are the items' shares of the weight X' a.
            shares = solve_triangular(self.root, fitted.weight, trans="T", lower=True)
            weight = np.asarray(self.features.T @ shares) * self.factor**2
        if self.scaling is None:
            return weight.astype(np.float32), fitted.bias
        rounded = (weight * self.scaling.factor[:, None]).astype(np.float32)
        # From the rounded weight, so that a large offset of the features cancels exactly.
        return rounded, fitted.bias - self.scaling.center @ rounded.astype(np.float64)


def sparse_effort(cells: int, columns: int) -> float:
    """`Design.effort` of CSR rows with so many values."""
    return 0.5 * cells + 2.5 * columns
