"""Shrunk class means: linear discriminant analysis with a ridge on the pooled within-class covariance.

    score_c(x) = log prior_c - tau / 2 (x - m_c)^T (S + penalty I)^-1 (x - m_c)

with S the within-class scatter of the scaled features. As the penalty grows it becomes the nearest class mean, which
is what one to five items a class can support. The penalty is chosen among a grid, and tau for each penalty, by exact
leave-one-out log loss: without item i of class c (weights w_i of W_c), and u = x_i - m_c,

    m_c - w_i u / (W_c - w_i)    and    S - w_i W_c / (W_c - w_i) u u^T,

so that one Sherman-Morrison step in the eigenbasis of S gives its distances. Groups take out a block (Woodbury).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from headstart.errors import DataError
from headstart.heads.base import Floats, HeadState
from headstart.heads.discriminant import Discriminant
from headstart.heads.eigenbasis import floor_weights
from headstart.heads.likelihood import log_loss, log_softmax
from headstart.heads.linear import FittedLinear, LinearMap
from headstart.heads.rows import check_training, present_classes, present_without
from headstart.tasks import Target, Task

Array = NDArray[np.float64]

# Relative to the mean eigenvalue of the total scatter.
PENALTIES: tuple[float, ...] = tuple(float(p) for p in np.logspace(-3, 3, 13))
# tau is sought between these shares of sum w, which is what a covariance S / sum w would make it.
TAU_RANGE = (1e-5, 10.0)
# The score of a class without items, beside log priors.
ABSENT = -20.0


@dataclass(frozen=True)
class ShrunkMeans:
    """Shrunk class means for exclusive classes. Scores are log posteriors up to a term common to the classes.

    Attributes:
        penalties: the grid, relative to the mean eigenvalue of the total scatter.
        priors: the classes' shares of the training weight, or uniform.
    """

    penalties: tuple[float, ...] = PENALTIES
    priors: Literal["data", "uniform"] = "data"

    def supports(self, task: Task) -> bool:
        """True for exclusive classes."""
        return task in ("binary", "multiclass")

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedLinear:
        """Fit on x (n, d) at the penalty with the least left-out log loss; deterministic, `seed` changes nothing.

        Raises:
            DataError: labels or numbers as target, shapes that do not match, features that are not finite, fewer than
                two items or groups.
        """
        if not self.supports(target.task):
            raise DataError(f"class means are for exclusive classes, got a {target.task} target: use ridge")
        given = check_training(x, target, weights, groups)
        present = present_classes(target, given)
        model = Discriminant.of(x, target, floor_weights(given), present)
        there = present_without(target, given, groups)
        log_priors = self._log_priors(model.weights_without(groups), there)
        best = (np.inf, 0.0, 0.0, np.empty(0))
        for penalty in sorted(self.penalties, reverse=True):
            distances = _beyond_nearest(model.left_out(penalty * model.mean, groups), there)
            loss, tau = _best_tau(distances, log_priors, target.encoded(), given)
            if loss < best[0]:
                best = (loss, penalty, tau, distances)
        _, penalty, tau, distances = best
        weight, offset = model.linear(penalty * model.mean)
        # A class without items is as far as the farthest mean is from the centre, and has next to no prior.
        bias = tau * np.where(present, offset, offset.min()) + self._log_priors(model.class_weights, present)
        fitted = LinearMap.fold(tau * weight, bias, model.scaling)
        settings = {"penalty": penalty, "tau": tau, "priors": self.priors}
        return FittedLinear("means", fitted, settings, log_softmax(log_priors - 0.5 * tau * distances))

    def restore(self, state: HeadState) -> FittedLinear:
        """The fitted head from its state."""
        return FittedLinear.restore(state)

    def _log_priors(self, weights: Array, present: NDArray[np.bool_]) -> Array:
        """Log priors of class weights (..., C); ABSENT for classes that have no items."""
        weights = np.where(present, weights if self.priors == "data" else 1.0, 0.0)
        share = weights / np.maximum(weights.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
        return np.where(share > 0, np.log(np.where(share > 0, share, 1.0)), ABSENT)


def _beyond_nearest(distances: Array, there: NDArray[np.bool_]) -> Array:
    """Squared distances (n, C) less those to the nearest class that has items; 0 for classes that have none."""
    nearest = np.where(there, distances, np.inf).min(axis=1, keepdims=True)
    return np.where(there, distances - nearest, 0.0)


def _best_tau(distances: Array, log_priors: Array, y: Array, weights: Array) -> tuple[float, float]:
    """The least weighted log loss over tau, and that tau.

    One more item, of unknown class, is imagined to be spread over the classes: where all items are right, tau stays
    finite and the probabilities as modest as so few items allow.
    """
    total = float(weights.sum())
    share = 1.0 / (len(y) + 1.0)
    y = (1.0 - share) * y + share / y.shape[1]

    def loss(log_tau: float) -> float:
        scores = log_priors - 0.5 * np.exp(log_tau) * distances
        return float(weights @ log_loss(scores, y, exclusive=True)) / total

    low, high = np.log(TAU_RANGE[0] * total), np.log(TAU_RANGE[1] * total)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 0.02})
    return float(found.fun), float(np.exp(found.x))
