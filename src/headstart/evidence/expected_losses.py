"""How much losses would vary if the probabilities were right: what a sample without the rare items does not show.

With 1 item in 20 of the rarer class, 50 items often hold one or none of it, and their losses then vary far less than
those of the next 50. Calibrated probabilities say how often such an item comes, and at what loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.metrics import class_weights, clipped
from headstart.evidence.units import Units
from headstart.tasks import Target

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Expected:
    """The loss of each of n items as a random variable, each (n,): its mean, variance and fourth central moment."""

    mean: Floats
    variance: Floats
    fourth: Floats

    @property
    def power(self) -> float:
        """The sum over items of the squared distance to the mean loss, as it is to be expected."""
        return float(self.variance.sum() + (self._centred**2).sum())

    def excess(self, losses: Floats, units: Units) -> float:
        """`power` over that of `losses` (n,), where it is more than 1, and not more than they leave possible.

        Their power varies by sqrt(sum_i E e_i^4) about what is expected, and more by the square root of the design
        effect, where units are groups: an expectation that is missed by two of those is refuted. Losses that are all
        the same have none; they are not taken.
        """
        centred = losses - losses.mean()
        seen = float((centred**2).sum())
        if self.power <= seen:
            return 1.0
        fourth = self.fourth + 6.0 * self.variance * self._centred**2 + self._centred**4
        design = max(1.0, float((units.sums(centred) ** 2).sum()) / seen)
        short = 2.0 * (design * float(fourth.sum())) ** 0.5 / self.power
        possible = 1.0 / (1.0 - short) if short < 1.0 else np.inf
        return max(1.0, min(self.power / seen, possible))

    @property
    def _centred(self) -> Floats:
        centred: Floats = self.mean - self.mean.mean()
        return centred


def expected_losses(target: Target, probabilities: Floats) -> dict[str, Expected]:
    """Of the losses `log_loss` and `brier` of `metrics.item_losses`; not of numbers, which have no probabilities."""
    outcomes = _outcomes(target, probabilities)
    brier = (1.0 - outcomes) ** 2
    if outcomes.shape[2] > 2:
        brier = (outcomes**2).sum(axis=2, keepdims=True) - 2.0 * outcomes + 1.0
    return {"log_loss": _moments(outcomes, -np.log(clipped(outcomes))), "brier": _moments(outcomes, brier)}


def expected_balanced(target: Target, probabilities: Floats, value: float) -> Expected:
    """Of w_c (l_c - value), an item's part in the error of the balanced log loss, w_c the weight of class c."""
    weights = np.zeros(target.n_outputs)
    weights[target.y.astype(np.int64)] = class_weights(target)
    outcomes = _outcomes(target, probabilities)
    return _moments(outcomes, weights * (-np.log(clipped(outcomes)) - value))


def _outcomes(target: Target, probabilities: Floats) -> Floats:
    """(n, L, K) probabilities of the K outcomes of L independent labels: L is 1 for exclusive classes, else K is 2."""
    if target.exclusive:
        return probabilities[:, None, :]
    return np.stack([1.0 - probabilities, probabilities], axis=2)


def _moments(outcomes: Floats, losses: Floats) -> Expected:
    """Of the mean over L labels of `losses` (n, L, K). Cumulants of independent labels add: m4 - 3 v^2 is one."""
    labels = outcomes.shape[1]
    mean = (outcomes * losses).sum(axis=2)  # (n, L)
    squared = (losses - mean[:, :, None]) ** 2
    variance, fourth = (outcomes * squared).sum(axis=2), (outcomes * squared**2).sum(axis=2)
    whole = variance.sum(axis=1) / labels**2  # (n,)
    cumulant = (fourth - 3.0 * variance**2).sum(axis=1) / labels**4
    return Expected(mean.mean(axis=1), whole, cumulant + 3.0 * whole**2)
