"""Distances to class means under a shrunk pooled covariance, with and without an item or its group: see `means`.

The within-class scatter S is the total scatter T less that of the class means (M, a row a class; N = diag(W_c)), so
one eigenbasis of T serves every penalty (Woodbury):

    (S + p I)^-1 = A + A M^T core M A,   A = (T + p I)^-1,   core = N^1/2 (I - N^1/2 M A M^T N^1/2)^-1 N^1/2

A M^T N is ridge on one-hot targets, and what `core` adds makes it a discriminant: penalised optimal scoring (Hastie,
Buja and Tibshirani 1995).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats
from headstart.heads.eigenbasis import Dual, decompose, factorise
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
class Metric:
    """(S + p I)^-1: inner products of rows, of class means, and of both.

    In the eigenbasis of T, or, where classes are more than directions, of S: there is no core then, and K is 0, else C.

    Attributes:
        shrink: (r,) the diagonal of A, or of (S + p I)^-1 itself.
        means: (C, r) class means.
        core: (K, K) see the module.
        gram: (C, K) M A M^T, the fits of the means.
        lift: (K, K) I + core gram: `fits` @ lift are inner products with the means.
        between: (C, K) gram lift, inner products of the means.
        mean_norms: (C,) those of each with itself.
    """

    shrink: Array
    means: Array
    core: Array
    gram: Array
    lift: Array
    between: Array
    mean_norms: Array

    @classmethod
    def of_total(cls, values: Array, means: Array, class_weights: Array, penalty: float) -> Metric:
        """At a positive penalty, for eigenvalues (r,) of T."""
        shrink = 1.0 / (values + penalty)
        gram = (means * shrink) @ means.T
        root = np.sqrt(class_weights)
        core = np.linalg.inv(np.eye(len(root)) - root[:, None] * gram * root)
        core = root[:, None] * (core + core.T) / 2 * root
        lift = np.eye(len(root)) + core @ gram
        between = gram @ lift
        return cls(shrink, means, core, gram, lift, between, np.diag(between))

    @classmethod
    def of_within(cls, values: Array, means: Array, penalty: float) -> Metric:
        """At a positive penalty, for eigenvalues (r,) of S."""
        shrink, none = 1.0 / (values + penalty), np.zeros((0, 0))
        narrow = np.zeros((len(means), 0))
        return cls(shrink, means, none, narrow, none, narrow, np.square(means) @ shrink)

    def fits(self, x: Array) -> Array:
        """(m, K) x A M^T of rows x (m, r)."""
        return np.asarray(x @ (self.means[: len(self.core)] * self.shrink).T)

    def beyond(self, fits: Array) -> Array:
        """(m,) what `core` adds to the inner products of rows with themselves."""
        return np.asarray(np.einsum("mc,mc->m", fits @ self.core, fits))

    def norms(self, x: Array, fits: Array) -> Array:
        """(m,) inner products of rows with themselves."""
        return np.asarray(np.square(x) @ self.shrink) + self.beyond(fits)

    def products(self, x: Array, y: Array, x_fits: Array, y_fits: Array) -> Array:
        """(m, k) inner products of rows x (m, r) and y (k, r)."""
        return np.asarray(x @ (y * self.shrink).T + x_fits @ self.core @ y_fits.T)

    def with_means(self, x: Array, fits: Array) -> Array:
        """(m, C) inner products of rows with the class means."""
        return np.asarray(fits @ self.lift if len(self.core) else x @ (self.means * self.shrink).T)

    def from_mean(self, own: NDArray[np.int64]) -> Array:
        """(m, C) inner products of some means with all."""
        return self.between[own] if len(self.core) else self.with_means(self.means[own], self.gram[own])

    def weight(self) -> Array:
        """(r, C) what gives `with_means` of rows."""
        weight = (self.means * self.shrink).T
        return np.asarray(weight @ self.lift if len(self.core) else weight)


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Class means in the eigenbasis of the total scatter T = V diag(values) V^T, or of the within-class scatter S.

    Attributes:
        scaling: the features' scaling: they are centred.
        codes: (n,) class of each item.   weights: (n,) positive item weights.
        class_weights: (C,) W_c; 0 for a class without items.
        mean: the mean eigenvalue of T.
        within: True where the basis is that of S: classes are more than directions, and C x C the larger matrix.
        values: (r,) eigenvalues of T, or S.
        means: (C, r) class means in the eigenbasis; 0 for a class without items.
        rows: index -> (m, r) float64 items in the eigenbasis.
        to_features: (r, C) in the eigenbasis -> (d, C) on the centred features.
    """

    scaling: Scaling
    codes: NDArray[np.int64]
    weights: Array
    class_weights: Array
    mean: float
    within: bool
    values: Array
    means: Array
    rows: Callable[[Index], Array]
    to_features: Callable[[Array], Array]

    @classmethod
    def of(cls, x: Floats, target: Target, weights: Array, present: NDArray[np.bool_]) -> Discriminant:
        """From x (n, d), whose columns are taken as they are but for their means."""
        basis = factorise(x, weights, standardise=False)
        dtype = np.float64 if isinstance(basis, Dual) else working_dtype(x)  # only in the primal are rows a product
        rows: Callable[[Index], Array] = lambda index: basis.rows(index, dtype).astype(np.float64, copy=False)  # noqa: E731
        if kept := len(x) * len(basis.values) <= KEPT_ROWS:
            rows = rows(slice(None)).__getitem__
        codes = target.y.astype(np.int64)
        given = weights * present[codes]
        sums = np.bincount(codes, given, minlength=len(present)).astype(np.float64, copy=False)
        means = np.zeros((len(present), len(basis.values)))
        for part in chunks(len(x), 8 * (len(basis.values) + x.shape[1])):
            order = np.argsort(codes[part], kind="stable")
            classes, first = np.unique(codes[part][order], return_index=True)
            means[classes] += np.add.reduceat((given[part, None] * rows(part))[order], first)
        means /= np.where(sums > 0, sums, 1.0)[:, None]
        values, within = basis.values, len(means) > len(basis.values)
        to_features: Callable[[Array], Array] = basis.to_features
        if within:
            values, turn = decompose(np.diag(values) - (means.T * sums) @ means)
            means, unturned = means @ turn, rows
            rows = (unturned(slice(None)) @ turn).__getitem__ if kept else lambda index: unturned(index) @ turn
            to_features = lambda v: basis.to_features(turn @ v)  # noqa: E731
        return cls(basis.scaling, codes, weights, sums, basis.mean, within, values, means, rows, to_features)

    def metric(self, penalty: float) -> Metric:
        """(S + penalty I)^-1."""
        if self.within:
            return Metric.of_within(self.values, self.means, penalty)
        return Metric.of_total(self.values, self.means, self.class_weights, penalty)

    def linear(self, penalty: float) -> tuple[Array, Array]:
        """Weight (d, C) on the centred features and offset (C,): -distance / 2, but for a term common to classes."""
        metric = self.metric(penalty)
        return self.to_features(metric.weight()), -0.5 * metric.mean_norms

    def weights_without(self, groups: NDArray[np.int64] | None) -> Array:
        """(n, C) the class weights without each item, or without its group."""
        _, member = np.unique(np.arange(len(self.codes)) if groups is None else groups, return_inverse=True)
        sums = np.zeros((int(member.max()) + 1, len(self.class_weights)))
        np.add.at(sums, (member, self.codes), self.weights)
        return np.asarray(self.class_weights - sums[member])

    def leverages(self, penalties: Array) -> Array:
        """(n, L) z diag(1 / (values + penalty)) z^T of each item, in one pass for all penalties (L,)."""
        shrink = 1.0 / (self.values[:, None] + penalties)
        out = np.empty((len(self.codes), len(penalties)))
        for rows in chunks(len(out), 16 * len(self.values) + 16 * len(self.scaling.center)):
            out[rows] = np.square(self.rows(rows)) @ shrink
        return out

    def left_out(self, penalty: float, leverages: Array, groups: NDArray[np.int64] | None) -> Array:
        """(n, C) squared distances of each item to the class means, all fitted without it or its group.

        Args:
            leverages: (n,) those at the penalty.
        """
        metric = self.metric(penalty)
        out = np.empty((len(self.codes), len(self.means)))
        for rows in chunks(len(out), 8 * (3 * len(self.means) + 2 * len(self.values) + 2 * len(self.scaling.center))):
            out[rows] = self._without_each(metric, rows, leverages[rows])
        for group in [] if groups is None else group_rows(groups):
            if len(group) > 1:
                out[group] = self._without_group(metric, group)
        return out

    def _without_each(self, metric: Metric, index: slice, leverages: Array) -> Array:
        x, own, w = self.rows(index), self.codes[index], self.weights[index]
        item = np.arange(len(x))
        fits = metric.fits(x)
        norms = leverages + metric.beyond(fits)  # (m,)
        products = metric.with_means(x, fits)  # (m, C)
        distances = norms[:, None] - 2 * products + metric.mean_norms  # (m, C)
        # (x - m_k)^T (S + p I)^-1 u for every class k; for the item's own class it is q = u^T (S + p I)^-1 u.
        tilted = norms[:, None] - products[item, own][:, None] - products
        tilted += metric.from_mean(own)
        q = tilted[item, own]
        rest = self.class_weights[own] - w
        last = rest <= 1e-9 * self.class_weights[own]  # nothing of its class is left; u is zero
        ratio = np.where(last, 1.0, self.class_weights[own] / np.where(last, 1.0, rest))
        gap = np.maximum(1.0 - w * ratio * q, GAP_FLOOR)
        distances += (w * ratio / gap)[:, None] * np.square(tilted)
        distances[item, own] = ratio**2 * q / gap
        return distances

    def _without_group(self, metric: Metric, group: NDArray[np.int64]) -> Array:
        x, own, w = self.rows(group), self.codes[group], self.weights[group]
        u = x - self.means[own]
        means, changed = self.means.copy(), np.unique(own)
        taken = [np.sqrt(w)[:, None] * u]  # rows B: S loses B^T B
        for c in changed:
            rest = self.class_weights[c] - w[own == c].sum()
            if rest > 1e-9 * self.class_weights[c]:
                moved = w[own == c] @ u[own == c]
                means[c] -= moved / rest
                taken.append(moved[None] / np.sqrt(rest))
        b = np.concatenate(taken)
        x_fits, b_fits, mean_fits = metric.fits(x), metric.fits(b), metric.gram.copy()
        mean_fits[changed] = metric.fits(means[changed])
        mean_norms = metric.mean_norms.copy()
        mean_norms[changed] = metric.norms(means[changed], mean_fits[changed])
        inner = np.linalg.inv(np.eye(len(b)) - metric.products(b, b, b_fits, b_fits))
        inner = (inner + inner.T) / 2
        xb = metric.products(x, b, x_fits, b_fits)  # (m, b)
        mb = metric.products(means, b, mean_fits, b_fits)  # (C, b)
        own_part = metric.norms(x, x_fits) + ((xb @ inner) * xb).sum(axis=1)
        class_part = mean_norms + ((mb @ inner) * mb).sum(axis=1)
        both = metric.products(x, means, x_fits, mean_fits) + xb @ inner @ mb.T
        return np.asarray(own_part[:, None] + class_part - 2 * both)
