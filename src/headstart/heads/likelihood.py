"""Penalised logistic likelihoods on rows whose Gram matrix is diagonal, and their minimisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats
from headstart.heads.folded_rows import FoldedRows
from headstart.heads.lbfgs import Answer, minimise

Array = NDArray[np.float64]


def log_softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Log probabilities of mutually exclusive classes, along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def log_loss(scores: Array, y: Array, exclusive: bool) -> Array:
    """(n,) -log likelihood of one-hot or multi-hot y (n, C) under scores (n, C), in nats."""
    if exclusive:
        return np.asarray(-(log_softmax(scores) * y).sum(axis=1))
    return np.asarray(np.logaddexp(0.0, np.where(y > 0, -scores, scores)).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The penalised negative log likelihood, sum w loss(row @ B + b, y) + penalty / 2 |B|^2, of some rows.

    Attributes:
        y: (m, C) one-hot or multi-hot, in the rows' dtype.
        weights: (m,) in the rows' dtype.
        exclusive: one class an item (softmax), or labels apart (sigmoids).
        penalty: positive.
    """

    y: Floats
    weights: Floats
    exclusive: bool
    penalty: float

    def probabilities(self, scores: Floats) -> Floats:
        """(m, C) of scores (m, C), which may be overwritten."""
        if self.exclusive:
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
            return scores
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))

    def curvature(self, scores: Floats) -> float:
        """The mean of p (1 - p): what the Hessian's blocks are, on average, in units of the Gram matrix."""
        p = self.probabilities(scores)
        return max(float((p * (1 - p)).mean()), 1e-6)

    def loss(self, scores: Floats) -> tuple[float, Floats]:
        """The weighted loss, summed in float64, and its derivative by the scores (m, C), which may be overwritten."""
        w = self.weights[:, None]
        if self.exclusive:
            scores -= scores.max(axis=1, keepdims=True)
            picked = np.vdot(w * self.y, scores)
            np.exp(scores, out=scores)
            total = scores.sum(axis=1, keepdims=True)
            value = float(np.vdot(w, np.log(total)) - picked)
            scores /= total
            scores -= self.y
        else:
            signed = np.where(self.y > 0, -scores, scores)
            value = float((w * np.logaddexp(0, signed)).sum(dtype=np.float64))
            scores = 0.5 * (1.0 + np.tanh(0.5 * scores)) - self.y
        scores *= w
        return value, scores


def minimise_all(
    rows: FoldedRows,
    values: Array,
    likelihoods: Mapping[int, Likelihood],
    starts: Mapping[int, Array],
    tolerance: float,
) -> dict[int, Array]:
    """By the fold that each fit leaves out, the minimiser (q + 1, C), the intercepts last, by L-BFGS from its start.

    The variables are divided by the square root of the Hessian's expected diagonal, curvature * values + penalty: the
    rows' Gram matrix being diagonal, that brings all of them to about one curvature.

    Args:
        rows: all items; a likelihood is of those that its fit keeps.
        values: (q,) the diagonal of the rows' Gram matrix.
    """
    dtype = rows.rows.dtype
    begin = {fold: start.astype(dtype) for fold, start in starts.items()}
    sizes = {}
    for fold, scores in _scores(rows, begin).items():
        expected = likelihoods[fold].curvature(scores) * values + likelihoods[fold].penalty
        sizes[fold] = np.sqrt(expected).astype(dtype)[:, None]

    def objectives(points: dict[int, Floats]) -> dict[int, Answer]:
        inner = {fold: _scaled(point, 1 / sizes[fold]) for fold, point in points.items()}
        losses = {fold: likelihoods[fold].loss(scores) for fold, scores in _scores(rows, inner).items()}
        gradients = rows.transposed_times({fold: residual for fold, (_, residual) in losses.items()})
        found = {}
        for fold, (value, residual) in losses.items():
            weight, penalty, slope = inner[fold][:-1], likelihoods[fold].penalty, np.empty_like(points[fold])
            gradients[fold] += dtype.type(penalty) * weight
            np.divide(gradients[fold], sizes[fold], out=slope[:-1])
            slope[-1] = residual.sum(axis=0, dtype=np.float64)
            found[fold] = value + 0.5 * penalty * float(np.vdot(weight, weight)), slope
        return found

    scaled = {fold: _scaled(start, sizes[fold]) for fold, start in begin.items()}
    return {
        fold: _scaled(found, 1 / sizes[fold]).astype(np.float64)
        for fold, found in minimise(objectives, scaled, tolerance).items()
    }


def _scores(rows: FoldedRows, coefficients: Mapping[int, Floats]) -> dict[int, Floats]:
    """By the fold that each fit leaves out, the scores (m, C) of the rows that it keeps."""
    found = rows.times({fold: part[:-1] for fold, part in coefficients.items()})
    for fold, scores in found.items():
        scores += coefficients[fold][-1]
    return found


def _scaled(coefficients: Floats, size: Floats) -> Floats:
    """(q + 1, C) with all but the intercepts times `size` (q, 1)."""
    return np.concatenate([coefficients[:-1] * size, coefficients[-1:]])
