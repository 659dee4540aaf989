"""The items in the eigenbasis of their centred, scaled Gram matrix: one factorisation that serves every penalty.

With Z (n, d) the scaled features centred at their weighted mean, D = diag(w) and s = sqrt(w / sum w):

    primal, d <= n:  Z^T D Z = V diag(values) V^T            (d, d), rows of the items: P = Z V
    dual,   n < d:   D^1/2 Z Z^T D^1/2 = U diag(values) U^T  (n, n), rows of the items: P = D^-1/2 U diag(values)^1/2

An L2 penalty does not see a rotation, so ridge, logistic regression and discriminants fitted on P (n, r),
r <= min(n - 1, d), are those of Z, and P^T D P is diagonal.

Both matrices are accumulated and factorised in float64. The smallest penalties are about 1e-5 of the mean eigenvalue
and the largest eigenvalue may be hundreds of times the mean: float32's eigenvalue error, 1e-7 of the largest, would
reach the order of the penalty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.linalg import eigh
from scipy.linalg.blas import dsyr, dsyrk

from headstart.heads.base import Floats
from headstart.heads.moments import Moments, NormalEquations, mean_eigenvalue
from headstart.heads.rows import chunks, working_dtype
from headstart.heads.scaling import Scaling

Array = NDArray[np.float64]

# A weight below this share of the largest counts as this share: an item of weight zero then has its residuals like
# any other, and moves the fit by less than rounding does.
WEIGHT_FLOOR = 1e-10
# Above this size eigh uses the driver that needs no workspace of twice the matrix; below, the faster one.
LOW_MEMORY_SIZE = 3000
# Heads that iterate over the rows hold at most this many values of them (256 MB in float32), and past it drop the
# directions of least variance.
ROWS_LIMIT = 2**26


@dataclass(frozen=True, eq=False)
class Eigenbasis(ABC):
    """What both factorisations offer.

    Attributes:
        x: (n, d) the features as given.
        scaling: their scaling, centred at the weighted mean.
        weights: (n,) weights, floored.
        values: (r,) eigenvalues, none negative.
        mean: the mean eigenvalue, which penalties are relative to.
        vectors: the eigenvectors: see the subclasses.
    """

    x: Floats
    scaling: Scaling
    weights: Array
    values: Array
    mean: float
    vectors: Array

    @abstractmethod
    def rows(self, index: slice | NDArray[np.int64], dtype: DTypeLike) -> Floats:
        """(m, r) the items of `index` in the eigenbasis, in `dtype`."""

    @abstractmethod
    def project(self, values: Array) -> Array:
        """(r, C) float64 products of the items' D^1/2 P, in the dual of U, with values (n, C)."""

    @abstractmethod
    def to_features(self, coefficients: Array) -> Array:
        """(d, C) float64 coefficients on the scaled features, of (r, C) ones on the eigenbasis."""


def floor_weights(weights: Array) -> Array:
    """Weights (n,), none below WEIGHT_FLOOR of the largest."""
    return np.asarray(np.maximum(weights, WEIGHT_FLOOR * weights.max()))


def factorise(x: Floats, weights: Array, emphasis: Array | None = None, *, standardise: bool = True) -> Eigenbasis:
    """The eigenbasis of x (n, d) under positive weights (n,), by the smaller of the two matrices.

    Args:
        emphasis: (d,) what the scaled columns are multiplied by: a penalty spares the large ones. None for ones.
        standardise: columns to equal spread; else they are centred only.
    """
    if len(x) < x.shape[1]:
        return Dual.of(x, weights, emphasis, standardise=standardise)
    moments = Moments.from_batch(x, np.zeros((len(x), 0)), weights)
    normal = moments.normal_equations(standardise=standardise)
    return Primal.of(x, normal.emphasised(emphasis), weights)


def decompose(a: Array) -> tuple[Array, Array]:
    """Eigenvalues (ascending, clipped at zero) and eigenvectors of a symmetric matrix.

    Only its lower triangle is read; it may be overwritten.
    """
    driver: Literal["evd", "evr"] = "evd" if len(a) <= LOW_MEMORY_SIZE else "evr"
    values, vectors = eigh(a, driver=driver, overwrite_a=True, check_finite=False)
    return np.maximum(values, 0.0), vectors


class Primal(Eigenbasis):
    """By the Gram matrix of the columns; `vectors` is V (d, d)."""

    @classmethod
    def of(cls, x: Floats, normal: NormalEquations, weights: Array) -> Primal:
        """From the items' normal equations, whose Gram matrix is overwritten."""
        mean = mean_eigenvalue(float(np.trace(normal.gram)), *x.shape)
        values, vectors = decompose(normal.gram)
        return cls(x, normal.scaling, weights, values, mean, vectors)

    def rows(self, index: slice | NDArray[np.int64], dtype: DTypeLike) -> Floats:
        """(m, d) the items of `index` in the eigenbasis, computed in `dtype`."""
        rows: Floats = self.scaling.apply(self.x[index], dtype) @ self.vectors.astype(dtype, copy=False)
        return rows

    def project(self, values: Array) -> Array:
        """(d, C): V^T Z^T D^1/2 values."""
        root = np.sqrt(self.weights)[:, None]
        cross = np.zeros((self.x.shape[1], values.shape[1]))
        for rows in chunks(len(self.x), 16 * self.x.shape[1]):
            cross += self.scaling.apply(self.x[rows], np.float64).T @ (root[rows] * values[rows])
        return np.asarray(self.vectors.T @ cross)

    def to_features(self, coefficients: Array) -> Array:
        """(d, C) coefficients on the scaled features."""
        return np.asarray(self.vectors @ coefficients)


class Dual(Eigenbasis):
    """By the kernel matrix of the items; `vectors` is U (n, n - 1), orthogonal to s."""

    @classmethod
    def of(cls, x: Floats, weights: Array, emphasis: Array | None = None, *, standardise: bool = True) -> Dual:
        """From the items themselves."""
        scaling = Scaling.fit(x, weights) if standardise else Scaling.fit(x, weights).centring()
        scaling = scaling if emphasis is None else scaling.times(emphasis)
        return cls._of(x, scaling, _kernel(x, scaling, np.sqrt(weights)), weights, x.shape[1])

    @classmethod
    def of_kernel(cls, x: Floats, kernel: Array, weights: Array) -> Dual:
        """From D^1/2 K D^1/2 (n, n) of a kernel's values K, centred in its space; it may be overwritten.

        The items x (n, d) are only kept. `to_features` is not defined: such a space has no columns.
        """
        d = x.shape[1]
        nothing = Scaling(np.zeros(d), np.ones(d))
        return cls._of(x, nothing, kernel.T, weights, len(x))  # symmetric; LAPACK takes Fortran's order uncopied

    @classmethod
    def _of(cls, x: Floats, scaling: Scaling, kernel: Array, weights: Array, d: int) -> Dual:
        """From the lower triangle of D^1/2 Z Z^T D^1/2 in a space of d dimensions."""
        root = np.sqrt(weights)
        trace = float(np.trace(kernel))
        # s has eigenvalue zero. Lifted above all others it leaves the null space, and what remains of U are the n - 1
        # directions orthogonal to s, null ones included.
        kernel = dsyr((2.0 * trace + 1.0) / weights.sum(), root, lower=True, a=kernel, overwrite_a=True)
        values, vectors = decompose(kernel)
        mean = mean_eigenvalue(trace, len(x), d)
        return cls(x, scaling, weights, values[:-1], mean, vectors[:, :-1])

    def rows(self, index: slice | NDArray[np.int64], dtype: DTypeLike) -> Floats:
        """(m, n - 1) the items of `index` in the eigenbasis, in `dtype`."""
        rows = self.vectors[index] * (np.sqrt(self.values) / np.sqrt(self.weights[index])[:, None])
        return rows.astype(dtype, copy=False)

    def project(self, values: Array) -> Array:
        """(n - 1, C): U^T values."""
        return np.asarray(self.vectors.T @ values)

    def to_features(self, coefficients: Array) -> Array:
        """(d, C) coefficients on the scaled features; directions in which no item differs get none."""
        inverse = np.where(self.values > 1e-12 * self.values.max(initial=0.0), self.values, np.inf) ** -0.5
        return self.combine(self.vectors @ (inverse[:, None] * coefficients))

    def combine(self, dual: Array) -> Array:
        """(d, C): Z^T D^1/2 dual, for dual (n, C) orthogonal to s."""
        dual = np.sqrt(self.weights)[:, None] * dual
        out = np.empty((self.x.shape[1], dual.shape[1]))
        for columns in chunks(self.x.shape[1], 8 * len(self.x)):
            centred = self.x[:, columns] - self.scaling.center[columns]
            out[columns] = (dual.T @ centred).T
        out *= self.scaling.factor[:, None]
        return out


def _kernel(x: Floats, scaling: Scaling, root: Array) -> Array:
    """The lower triangle of D^1/2 Z Z^T D^1/2 (n, n), float64, over chunks of columns."""
    n = len(x)
    kernel = np.zeros((n, n), order="F")
    for columns in chunks(x.shape[1], 8 * n):
        block = x[:, columns] - scaling.center[columns]  # (n, m)
        block *= scaling.factor[columns]
        block *= root[:, None]
        kernel = dsyrk(1.0, block.T, trans=True, lower=True, beta=1.0, c=kernel, overwrite_c=True)
    return kernel


def leading_rows(basis: Eigenbasis, order: NDArray[np.int64], limit: int = ROWS_LIMIT) -> Floats:
    """(n, q) the items, in an order, in q directions: all r, or as many as keep n q within `limit` values.

    They are the last q, of the largest eigenvalues.
    """
    n, r = len(basis.x), len(basis.values)
    q = min(r, max(1, limit // n))
    out = np.empty((n, q), dtype=working_dtype(basis.x))
    for rows in chunks(n, 16 * basis.x.shape[1]):
        out[rows] = basis.rows(order[rows], out.dtype)[:, r - q :]
    return out
