"""Penalised logistic likelihood on rows whose Gram matrix is diagonal, and its minimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats
from headstart.heads.lbfgs import minimise

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
    """The penalised negative log likelihood, sum w loss(row @ B + b, y) + penalty / 2 |B|^2.

    Attributes:
        rows: (n, q) float32 or float64 whose Gram matrix is about diagonal.
        values: (q,) that diagonal.
        y: (n, C) one-hot or multi-hot, in the rows' dtype.
        weights: (n,) in the rows' dtype.
        exclusive: one class an item (softmax), or labels apart (sigmoids).
    """

    rows: Floats
    values: Array
    y: Floats
    weights: Floats
    exclusive: bool

    def probabilities(self, coefficients: Array) -> Floats:
        """(n, C) of coefficients (q + 1, C), whose last row are the intercepts."""
        scores = self.scores(coefficients)
        if self.exclusive:
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
            return scores
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))

    def scores(self, coefficients: Array) -> Floats:
        """(n, C) logits."""
        dtype = self.rows.dtype
        return np.asarray(self.rows @ coefficients[:-1].astype(dtype) + coefficients[-1].astype(dtype))

    def curvature(self, coefficients: Array) -> float:
        """The mean of p (1 - p): what the Hessian's blocks are, on average, in units of the Gram matrix."""
        p = self.probabilities(coefficients)
        return max(float((p * (1 - p)).mean()), 1e-6)

    def minimise(self, penalty: float, start: Array, tolerance: float) -> Array:
        """(q + 1, C) the minimiser at a positive penalty, by L-BFGS from `start`.

        The variables are divided by the square root of the Hessian's expected diagonal, curvature * values + penalty:
        the rows' Gram matrix being diagonal, that brings all of them to about one curvature.
        """
        dtype = self.rows.dtype
        size = np.sqrt(self.curvature(start) * self.values + penalty).astype(dtype)[:, None]

        def objective(scaled: Floats) -> tuple[float, Floats]:
            inner = scaled[:-1] / size
            value, residual = self._loss(self.rows @ inner + scaled[-1])
            gradient = np.empty_like(scaled)
            np.matmul(self.rows.T, residual, out=gradient[:-1])
            gradient[:-1] += dtype.type(penalty) * inner
            gradient[:-1] /= size
            gradient[-1] = residual.sum(axis=0, dtype=np.float64)
            return value + 0.5 * penalty * float(np.vdot(inner, inner)), gradient

        scaled = np.concatenate([start[:-1] * size, start[-1:]]).astype(dtype)
        found = minimise(objective, scaled, tolerance)
        return np.concatenate([found[:-1] / size, found[-1:]]).astype(np.float64)

    def _loss(self, scores: Floats) -> tuple[float, Floats]:
        """The weighted loss, summed in float64, and its derivative by the scores (n, C)."""
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
