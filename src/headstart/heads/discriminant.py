"""Distances to class means under a shrunk pooled covariance, with and without an item or its group: see `means`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats
from headstart.heads.eigenbasis import Dual, decompose
from headstart.heads.moments import Moments, mean_eigenvalue
from headstart.heads.rows import chunks, group_rows, working_dtype
from headstart.heads.scaling import Scaling
from headstart.tasks import Target

Array = NDArray[np.float64]
Index = slice | NDArray[np.int64]

# Items in the eigenbasis are kept, not made anew for each penalty, up to this many values of them (128 MB).
KEPT_ROWS = 2**24
# 1 - b q, of the Sherman-Morrison step, is positive; below this it is rounding.
GAP_FLOOR = 1e-9


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Class means in the eigenbasis of the within-class scatter S = V diag(values) V^T.

    Attributes:
        scaling: the features' scaling.
        codes: (n,) class of each item.   weights: (n,) positive item weights.
        class_weights: (C,) W_c; 0 for a class without items.
        mean: the mean eigenvalue of the total scatter.
        values: (q,) eigenvalues of S.
        means: (C, q) class means in the eigenbasis; 0 for a class without items.
        rows: index -> (m, q) float64 items in the eigenbasis.
        to_features: (q, C) in the eigenbasis -> (d, C) on the scaled features.
    """

    scaling: Scaling
    codes: NDArray[np.int64]
    weights: Array
    class_weights: Array
    mean: float
    values: Array
    means: Array
    rows: Callable[[Index], Array]
    to_features: Callable[[Array], Array]

    @classmethod
    def of(cls, x: Floats, target: Target, weights: Array, present: NDArray[np.bool_]) -> Discriminant:
        """From x (n, d): in the features where d <= n, else in the eigenbasis of the items' kernel matrix."""
        codes = target.y.astype(np.int64)
        y = target.encoded() * present
        sums = weights @ y
        if x.shape[1] <= len(x):
            normal = Moments.from_batch(x, y, weights).normal_equations()
            scaling, total, cross = normal.scaling, normal.gram, normal.cross
            mean = mean_eigenvalue(float(np.trace(total)), *x.shape)
            dtype = working_dtype(x)
            base: Callable[[Index], Floats] = lambda index: scaling.apply(x[index], dtype)  # noqa: E731
            lift: Callable[[Array], Array] = lambda v: v  # noqa: E731
        else:
            dual = Dual.of(x, weights)
            scaling, mean, total = dual.scaling, dual.mean, np.diag(dual.values)
            base = lambda index: dual.rows(index, np.float64)  # noqa: E731
            lift = dual.to_features
            cross = base(slice(None)).T @ (weights[:, None] * y)
        means = (cross / np.where(sums > 0, sums, 1.0)).T  # (C, q): rows are centred, so cross = W_c m_c
        values, vectors = decompose(total - (means.T * sums) @ means)
        small = vectors.astype(base(slice(0, 1)).dtype)
        rotated: Callable[[Index], Array] = lambda index: (base(index) @ small).astype(np.float64, copy=False)  # noqa: E731
        if len(x) * len(values) <= KEPT_ROWS:
            kept = rotated(slice(None))
            rotated = lambda index: kept[index]  # noqa: E731
        return cls(
            scaling,
            codes,
            weights,
            sums,
            mean,
            values,
            means @ vectors,
            rotated,
            lambda v: lift(vectors @ v),
        )

    def linear(self, penalty: float) -> tuple[Array, Array]:
        """Weight (d, C) on the scaled features and offset (C,): -distance / 2, but for a term common to classes."""
        shrunk = self.means / (self.values + penalty)
        return self.to_features(shrunk.T), -0.5 * (shrunk * self.means).sum(axis=1)

    def weights_without(self, groups: NDArray[np.int64] | None) -> Array:
        """(n, C) the class weights without each item, or without its group."""
        _, member = np.unique(np.arange(len(self.codes)) if groups is None else groups, return_inverse=True)
        sums = np.zeros((int(member.max()) + 1, len(self.class_weights)))
        np.add.at(sums, (member, self.codes), self.weights)
        return np.asarray(self.class_weights - sums[member])

    def left_out(self, penalty: float, groups: NDArray[np.int64] | None) -> Array:
        """(n, C) squared distances of each item to the class means, all fitted without it or its group."""
        out = np.empty((len(self.codes), len(self.means)))
        for rows in chunks(len(out), 8 * (3 * len(self.means) + 2 * len(self.values) + 2 * len(self.scaling.center))):
            out[rows] = self._without_each(penalty, rows)
        for group in [] if groups is None else group_rows(groups):
            if len(group) > 1:
                out[group] = self._without_group(penalty, group)
        return out

    def _without_each(self, penalty: float, index: slice) -> Array:
        x, own, w = self.rows(index), self.codes[index], self.weights[index]
        shrink = 1.0 / (self.values + penalty)
        item = np.arange(len(x))
        norms = np.square(x) @ shrink  # (m,)
        products = x @ (self.means * shrink).T  # (m, C)
        between = (self.means * shrink) @ self.means.T  # (C, C)
        distances = norms[:, None] - 2 * products + np.diag(between)  # (m, C)
        # (x - m_k)^T A^-1 u for every class k; for the item's own class it is q = u^T A^-1 u.
        tilted = norms[:, None] - products[item, own][:, None] - products + between[own]
        q = tilted[item, own]
        rest = self.class_weights[own] - w
        last = rest <= 1e-9 * self.class_weights[own]  # nothing of its class is left; u is zero
        ratio = np.where(last, 1.0, self.class_weights[own] / np.where(last, 1.0, rest))
        gap = np.maximum(1.0 - w * ratio * q, GAP_FLOOR)
        distances += (w * ratio / gap)[:, None] * np.square(tilted)
        distances[item, own] = ratio**2 * q / gap
        return distances

    def _without_group(self, penalty: float, group: NDArray[np.int64]) -> Array:
        x, own, w = self.rows(group), self.codes[group], self.weights[group]
        shrink = 1.0 / (self.values + penalty)
        u = x - self.means[own]
        means = self.means.copy()
        taken = [np.sqrt(w)[:, None] * u]  # rows B: S loses B^T B
        for c in np.unique(own):
            rest = self.class_weights[c] - w[own == c].sum()
            if rest > 1e-9 * self.class_weights[c]:
                moved = w[own == c] @ u[own == c]
                means[c] -= moved / rest
                taken.append(moved[None] / np.sqrt(rest))
        b = np.concatenate(taken)
        inner = np.linalg.inv(np.eye(len(b)) - (b * shrink) @ b.T)
        inner = (inner + inner.T) / 2
        xb, mb = (x * shrink) @ b.T, (means * shrink) @ b.T  # (m, b), (C, b)
        own_part = np.square(x) @ shrink + ((xb @ inner) * xb).sum(axis=1)
        class_part = np.square(means) @ shrink + ((mb @ inner) * mb).sum(axis=1)
        return np.asarray(own_part[:, None] + class_part - 2 * ((x * shrink) @ means.T + xb @ inner @ mb.T))
