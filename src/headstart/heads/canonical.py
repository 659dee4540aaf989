"""L2-penalised linear models with a canonical link, by gradients: for features too wide and sparse to factorise.

    minimise over W (d, C) and b (C,):   sum_i w_i loss(x_i W + b, y_i)  +  |W|^2 / (2 strength)

With the canonical link the gradient of the loss by the scores is prediction - y (McCullagh and Nelder, 1989), so one
solver serves multinomial logistic regression (softmax), one logistic regression a label (sigmoid) and least squares
(identity). The intercept is free. L-BFGS takes two products with x a step and never forms a Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from headstart.heads.base import Floats
from headstart.heads.lbfgs import Answer, minimise

Array = NDArray[np.float64]
Link = Literal["softmax", "sigmoid", "identity"]

# The loss is a mean: a search stops where a step gains less than its sixth digit.
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Weights:
    """scores = x @ weight + bias: weight (d, C) and bias (C,) float64."""

    weight: Array
    bias: Array

    def scores(self, x: Any) -> Array:
        """(m, C) float64 for x (m, d), dense or CSR; the product is in x's precision."""
        return np.asarray(x @ self.weight.astype(x.dtype), np.float64) + self.bias


def losses(link: Link, scores: NDArray[Any], y: NDArray[Any]) -> Array:
    """(n,) log loss (softmax; sigmoid: summed over labels) or half squared error of scores (n, C) against y (n, C)."""
    if link == "softmax":
        top = scores.max(axis=1)
        normaliser = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
        return np.asarray(normaliser - (scores * y).sum(axis=1), np.float64)
    each = np.logaddexp(0, scores) - scores * y if link == "sigmoid" else (scores - y) ** 2 / 2
    return np.asarray(each.sum(axis=1), np.float64)


def predictions(link: Link, scores: NDArray[Any]) -> NDArray[Any]:
    """(n, C) probabilities, or the scores themselves."""
    if link == "softmax":
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))
    return np.asarray(expit(scores) if link == "sigmoid" else scores)


def prior(link: Link, y: Array, weights: Array, d: int) -> Weights:
    """Where to start: no weight, and the scores of the (smoothed) shares of the classes, or of the mean."""
    weight, count, total = np.zeros((d, y.shape[1])), weights @ y, weights.sum()
    if link == "identity":
        return Weights(weight, count / total)
    smoothed = (count + 0.5) / (total + 1)
    return Weights(weight, np.log(smoothed if link == "softmax" else smoothed / (1 - smoothed)))


def minimised(link: Link, x: Any, y: Array, weights: Array, strength: float, start: Weights, steps: int) -> Weights:
    """The minimum, or what at most `steps` L-BFGS steps from `start` reach.

    Args:
        x: (n, d) float32 or float64, dense or CSR; weights, products and gradients are in its precision.
        y: (n, C) encoded targets.
        weights: (n,) non-negative.
        strength: how much a fit may cost: the inverse of the penalty (scikit-learn's C).
    """
    # Products with a CSR matrix are quick, with its transpose (CSC) slow.
    transposed = x.T.tocsr() if hasattr(x, "tocsr") else x.T
    total = weights.sum()
    shares, decay = weights / total, 1.0 / (strength * total)
    narrow_y, narrow_shares = y.astype(x.dtype), shares.astype(x.dtype)[:, None]

    def loss_and_gradient(point: Floats) -> Answer:
        weight, bias = point[:-1], point[-1]
        scores = x @ weight + bias  # (n, C)
        loss = shares @ losses(link, scores, narrow_y) + 0.5 * decay * float(np.vdot(weight, weight))
        residual = (predictions(link, scores) - narrow_y) * narrow_shares
        gradient = np.empty_like(point)
        gradient[:-1] = transposed @ residual
        gradient[:-1] += x.dtype.type(decay) * weight
        gradient[-1] = residual.sum(axis=0)
        return float(loss), gradient

    first = np.concatenate([start.weight, start.bias[None]]).astype(x.dtype)
    best = minimise(lambda points: {0: loss_and_gradient(points[0])}, {0: first}, TOLERANCE, steps)[0]
    return Weights(np.asarray(best[:-1], np.float64), np.asarray(best[-1], np.float64))
