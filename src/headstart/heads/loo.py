"""Exact leave-one-out and leave-one-group-out of ridge, for every penalty, from one factorisation.

With the hat matrix H (intercept included) of the weighted problem and the weighted residuals r = D^1/2 (y - fit), the
residuals of group g from the fit without it are

    (I - H_gg)^-1 r_g,    for one item  r_i / (1 - h_i)    (the Allen / PRESS identity; Cook & Weisberg 1982)

Both I - H and r are spectral functions of the penalty on one set of rows F (n, r):

    r     = offset * D^1/2 (y - mean y) + F diag(g) signal
    I - H = offset * (I - s s^T)        + F diag(g) F^T            s = sqrt(w / sum w), from the intercept

    primal: offset 1, F = D^1/2 Z V, g = -1 / (values + penalty),      signal = F^T D^1/2 (y - mean y)
    dual:   offset 0, F = U,         g = penalty / (values + penalty), signal the same

In the dual all terms of 1 - h_i are positive, so nothing cancels however small the penalty is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from headstart.heads.base import Floats
from headstart.heads.eigenbasis import Dual, Eigenbasis
from headstart.heads.rows import chunks, group_rows, working_dtype

Array = NDArray[np.float64]

# 1 - h_i is positive; below this it is rounding.
GAP_FLOOR = 1e-9
# What of `shrink` is rounding, in eps, where nothing cancels: squared errors move by less than 1e-6 of themselves.
DUAL_TOLERANCE = 10.0
# Multiply-adds of large groups' own blocks of the hat matrix, over all penalties, above which every _STRIDE-th penalty
# is looked at first, and then those around the best of them.
MANY_PRODUCTS = 2e9
_STRIDE = 4


@dataclass(frozen=True, eq=False)
class RidgePath:
    """The ridge fits of y on x at every penalty.

    Attributes:
        basis: the items' eigenbasis, and the items.
        y: (n, C) float64 targets; y_mean: (C,) their weighted mean.
        signal: (r, C) the targets in the eigenbasis.
    """

    basis: Eigenbasis
    y: Array
    y_mean: Array
    signal: Array

    @classmethod
    def on(cls, basis: Eigenbasis, y: Array) -> RidgePath:
        """In a space that is factorised already."""
        y_mean = basis.weights @ y / basis.weights.sum()
        return cls(basis, y, y_mean, basis.project(np.sqrt(basis.weights)[:, None] * (y - y_mean)))

    @property
    def offset(self) -> float:
        """1 in the primal, 0 in the dual: see the module."""
        return float(not isinstance(self.basis, Dual))

    @property
    def intercept(self) -> Array:
        """(n,) s: the unit vector that the intercept fits."""
        return np.asarray(np.sqrt(self.basis.weights / self.basis.weights.sum()))

    def shrink(self, penalties: Array) -> Array:
        """(r, L) g of each eigenvalue at each penalty."""
        total = self.basis.values[:, None] + penalties
        return -1.0 / total if self.offset else penalties / total

    def factors(self, index: slice | NDArray[np.int64], dtype: DTypeLike) -> Floats:
        """(m, r) F of some items."""
        if isinstance(self.basis, Dual):
            return self.basis.vectors[index].astype(dtype, copy=False)
        rows = self.basis.rows(index, dtype)
        rows *= np.sqrt(self.basis.weights[index])[:, None].astype(dtype)
        return rows

    def centred(self, index: slice | NDArray[np.int64]) -> Array:
        """(m, C) D^1/2 (y - mean y) of some items."""
        return np.sqrt(self.basis.weights[index])[:, None] * (self.y[index] - self.y_mean)

    def solve(self, penalty: float) -> Array:
        """The fit's coefficients: in the dual (n, C) on the weighted items, else (d, C) on the scaled features."""
        return np.asarray(self.basis.vectors @ (self.signal / (self.basis.values + penalty)[:, None]))

    def weight(self, solved: Array) -> Array:
        """(d, C) float64 the coefficients on the scaled features of the fit that `solve` gave."""
        return self.basis.combine(solved) if isinstance(self.basis, Dual) else solved

    def residuals(self, solved: Array, penalty: float) -> Array:
        """(n, C) float64 weighted in-sample residuals r of the fit that `solve` gave."""
        if isinstance(self.basis, Dual):
            return penalty * solved
        out = np.empty_like(self.y)
        for rows in chunks(len(self.y), 16 * len(solved)):
            fit = self.basis.scaling.apply(self.basis.x[rows], np.float64) @ solved
            out[rows] = self.centred(rows) - np.sqrt(self.basis.weights[rows])[:, None] * fit
        return out


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What leaving out says of every penalty.

    Attributes:
        errors: (L,) weighted sum of squared left-out residuals over items and outputs; infinite at a penalty that was
            not looked at.
        gaps: (n, L) 1 - h_i; not meaningful for items that share a group.
    """

    errors: Array
    gaps: Array

    @property
    def best(self) -> int:
        """The position of the least error; of equals the largest penalty's, where penalties ascend."""
        return _least(self.errors)


def leave_out(path: RidgePath, penalties: Array, groups: NDArray[np.int64] | None = None) -> LeftOut:
    """Squared errors of every penalty (L,), each item predicted without itself, or without its group.

    A group of m items needs an m x m block of the hat matrix for each penalty, or a system of as many directions where
    they are fewer. Where that is much work, not every penalty is looked at: the error is smooth in the penalty's
    logarithm, so around the best of every fourth one.
    """
    shared = [] if groups is None else [g for g in group_rows(groups) if len(g) > 1]
    alone = np.ones(len(path.y), dtype=bool)
    for group in shared:
        alone[group] = False
    errors = np.zeros(len(penalties))
    gaps = np.ones((len(path.y), len(penalties)))
    if alone.any():
        for rows, squared, gap in _each_item(path, penalties):
            gaps[rows] = gap
            errors += alone[rows] @ (squared / np.square(gap))
    if shared:
        errors += _group_errors(path, penalties, shared, errors)
    return LeftOut(errors, gaps)


def _group_errors(path: RidgePath, penalties: Array, groups: list[NDArray[np.int64]], others: Array) -> Array:
    """(L,) squared errors of the items that share a group; infinite where a penalty was not looked at.

    Args:
        others: (L,) those of all other items.
    """
    errors = np.full(len(penalties), np.inf)

    def look(at: NDArray[np.int64]) -> None:
        errors[at] = sum(np.square(_group(path, penalties[at], group)).sum(axis=(1, 2)) for group in groups)

    rank = path.shrink(penalties[:1]).shape[0]
    sizes = [sorted((len(group), rank)) for group in groups]
    products = len(penalties) * sum(small**2 * large for small, large in sizes)
    everything = np.arange(len(penalties))
    if products < MANY_PRODUCTS:
        look(everything)
        return errors
    look(everything[::_STRIDE])
    best = _least(others + errors)
    around = everything[max(best - _STRIDE + 1, 0) : best + _STRIDE]
    look(around[around != best])
    return errors


def _least(errors: Array) -> int:
    """The position of the least of errors (L,), the last of equals."""
    return len(errors) - 1 - int(np.argmin(errors[::-1]))


def left_out_scores(
    path: RidgePath, solved: Array, penalty: float, gap: Array, groups: NDArray[np.int64] | None = None
) -> Array:
    """(n, C) each item's score from the fit without it, or without its group.

    Args:
        solved: the fit on all items, of `path.solve(penalty)`.
        gap: (n,) 1 - h_i.
    """
    residuals = path.residuals(solved, penalty) / gap[:, None]
    for group in [] if groups is None else group_rows(groups):
        if len(group) > 1:
            residuals[group] = _group(path, np.array([penalty]), group)[0]
    return path.y - residuals / np.sqrt(path.basis.weights)[:, None]


def _each_item(path: RidgePath, penalties: Array) -> Iterator[tuple[slice, Floats, Array]]:
    """Chunks of rows with their squared residuals |r|^2 (m, L), summed over outputs, and gaps 1 - h (m, L)."""
    dtype = working_dtype(path.basis.x)
    shrink = path.shrink(penalties)
    tolerance = np.finfo(dtype).eps * (0.5 if path.offset else DUAL_TOLERANCE)
    inner, outer = (part.astype(dtype) for part in _compress(shrink, tolerance))  # (r, q), (q, L)
    r, n_outputs = path.signal.shape
    tall = (inner[:, :, None] * path.signal.astype(dtype)[:, None, :]).reshape(r, -1)  # (r, q C)
    pairs = (outer[:, None] * outer).reshape(-1, len(penalties))  # (q q, L)
    share = np.square(path.intercept)
    for rows in chunks(len(path.y), 4 * (len(penalties) + len(outer)) * n_outputs + 20 * r):
        factors = path.factors(rows, dtype)  # (m, r)
        terms = (factors @ tall).reshape(len(factors), -1, n_outputs)  # (m, q, C)
        # What residuals are divided by is float64 where that costs no product.
        squares = np.square(factors if path.offset else path.factors(rows, np.float64))  # (m, r)
        gap = squares @ shrink.astype(squares.dtype)
        if path.offset:
            residuals = np.matmul(outer.T, terms)  # (m, L, C)
            residuals += path.centred(rows)[:, None].astype(dtype)
            squared = np.einsum("mlc,mlc->ml", residuals, residuals, dtype=np.float64)
            gap = (1.0 - share[rows, None]) + gap
        else:  # nothing cancels: |sum_q outer_q terms_q|^2 from the terms' inner products, which are fewer
            squared = np.matmul(terms, terms.transpose(0, 2, 1)).reshape(len(terms), -1) @ pairs
        yield rows, squared, np.maximum(gap.astype(np.float64), GAP_FLOOR)


def _compress(shrink: Array, tolerance: float) -> tuple[Array, Array]:
    """Factors (r, q), (q, L) of shrink (r, L), equal to it but for singular values below a share of the largest.

    Functions 1 / (value + penalty) of many penalties nearly span few dimensions: the singular values of a Cauchy
    matrix fall exponentially. With 41 penalties in float32 q is about 20, so the products with the items' rows
    cost half. Columns are brought to one size first, for each penalty to keep its own relative precision.
    """
    size = np.linalg.norm(shrink, axis=0)
    u, values, vt = np.linalg.svd(shrink / size, full_matrices=False)
    keep = values > tolerance * values[0]
    return u[:, keep] * values[keep], vt[keep] * size


def _group(path: RidgePath, penalties: Array, group: NDArray[np.int64]) -> Array:
    """(L, m, C) float64 residuals of a group's m items from the fits without it."""
    factors = path.factors(group, np.float64).astype(np.float64, copy=False)  # (m, r)
    s = path.intercept[group]
    shrink = path.shrink(penalties)
    m, r = factors.shape
    out = np.empty((len(penalties), m, path.y.shape[1]))
    for part in chunks(len(penalties), 8 * min(m, r) * (min(m, r) + max(m, r))):
        g = shrink[:, part].T[:, None, :]  # (l, 1, r)
        residuals = (factors * g) @ path.signal + path.offset * path.centred(group)  # (l, m, C)
        if m <= r or not path.offset:
            hat = path.offset * (np.eye(m) - np.outer(s, s)) + (factors * g) @ factors.T  # I - H_gg
            out[part] = np.linalg.solve(hat, residuals)
            continue
        # More items than directions: (I - B M^-1 B^T)^-1 = I + B (M - B^T B)^-1 B^T, with B = [F, s], is r x r.
        wide = np.concatenate([factors, s[:, None]], axis=1)
        inverse = np.concatenate([-1.0 / g[:, 0], np.ones((len(g), 1))], axis=1)  # M: values + penalty, 1
        core = inverse[:, :, None] * np.eye(r + 1) - wide.T @ wide
        out[part] = residuals + wide @ np.linalg.solve(core, wide.T @ residuals)
    return out
