"""Bootstrap intervals of what is a function of a few means over items: losses, r2, the calibration error.

1,000 replicates of the units. Losses and r2: bias-corrected and accelerated percentiles (BCa; Efron 1987), because
losses are skewed: plain percentiles of log loss miss on the high side. The acceleration comes from influence
functions, so nothing is left out one by one. The normal quantile is replaced by sqrt(G / (G - 1)) t_{G - 1} for G units
(Hesterberg 2015), because resampling few units is too narrow by that factor. Where losses vary less than the
probabilities say that they would, the interval is stretched to that; see `expected_losses`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.expected_losses import Expected, expected_balanced, expected_losses
from headstart.evidence.intervals import LEVEL, Interval, student
from headstart.evidence.metrics import calibration_gaps, class_weights, item_losses
from headstart.evidence.units import Units, bootstrap_weights
from headstart.tasks import Target

Floats = NDArray[np.float64]


def loss_intervals(
    target: Target, probabilities: Floats, values: dict[str, float], units: Units, seed: int
) -> dict[str, Interval]:
    """BCa intervals of the metrics that are means of item losses; regression: r2, mae, rmse.

    Args:
        target, probabilities: as for `score`.
        values: the metrics, from `score`.
        units: at least two.
        seed: of the replicates.
    """
    losses = item_losses(target, probabilities)  # each (n,)
    if target.task != "regression":
        means = _replicate_means(np.column_stack(list(losses.values())), units, seed)
        expected = expected_losses(target, probabilities)
        return {
            name: _stretched(_bca(values[name], replicates, loss, units), loss, expected[name], units)
            for (name, loss), replicates in zip(losses.items(), means.T, strict=True)
        }
    centred = target.y.astype(np.float64) - float(target.y.astype(np.float64).mean())
    squared = losses["squared"]
    table = np.column_stack([losses["mae"], squared, centred, centred**2])
    absolute, square, y, y2 = _replicate_means(table, units, seed).T  # each (B,)
    intervals = {
        "mae": _bca(values["mae"], absolute, losses["mae"], units),
        "rmse": _bca(values["rmse"], np.sqrt(square), squared, units),
    }
    variance = y2 - y**2
    usable = variance > 1e-12 * max(float((centred**2).mean()), np.finfo(np.float64).tiny)
    if math.isfinite(values["r2"]):
        # d r2 = -(e^2 - (1 - r2) (y - mean)^2) / variance
        influence = (1.0 - values["r2"]) * centred**2 - squared
        intervals["r2"] = _bca(values["r2"], 1.0 - square[usable] / variance[usable], influence, units)
    return intervals


def balanced_loss(target: Target, probabilities: Floats, units: Units, seed: int) -> Interval:
    """The balanced log loss with its BCa interval: sum_i w_i l_i / sum_i w_i, resampled as the ratio that it is."""
    loss, weights = item_losses(target, probabilities)["log_loss"], class_weights(target)
    interval = ratio_interval(weights * loss, weights, units, seed)
    expected = expected_balanced(target, probabilities, interval.value)
    return _stretched(interval, weights * (loss - interval.value), expected, units)


def ratio_interval(above: Floats, below: Floats, units: Units, seed: int) -> Interval:
    """sum above / sum below with its BCa interval, both (n,) resampled together; without one for a single unit.

    Args:
        below: not negative, and positive in sum.
    """
    value = float(above.sum() / below.sum())
    if len(units) < 2:
        return Interval(value, math.nan, math.nan)
    above_means, below_means = _replicate_means(np.column_stack([above, below]), units, seed).T  # each (B,)
    there = below_means > 0
    return _bca(value, above_means[there] / below_means[there], above - value * below, units)


def ece_interval(target: Target, probabilities: Floats, units: Units, seed: int) -> Interval:
    """The expected calibration error, its bins kept.

    The error is a sum of absolute gaps, which noise only adds to: near 0 the measured value is mostly noise. So the
    lower end subtracts all the noise there may be, the 97.5 % point of sum_b |gap*_b - gap_b| over replicates (by the
    triangle inequality the true error is not lower). The upper end is the basic bootstrap's, 2 value - the 2.5 % point,
    which takes off the bias that resampling doubles. The value is always inside.
    """
    gaps = calibration_gaps(target, probabilities)  # (n, BINS)
    at = gaps.mean(axis=0)
    value = float(np.abs(at).sum())
    replicates = _replicate_means(gaps, units, seed)  # (B, BINS)
    noise = float(np.quantile(np.abs(replicates - at).sum(axis=1), (1 + LEVEL) / 2))
    lowest = float(np.quantile(np.abs(replicates).sum(axis=1), (1 - LEVEL) / 2))
    return Interval(value, max(0.0, value - noise), max(value, 2 * value - lowest))


def _replicate_means(table: Floats, units: Units, seed: int) -> Floats:
    """(B, S) means over the items of each bootstrap replicate of the units, of `table` (n, S)."""
    bags = units.merged(seed)
    sums = bags.sums(table)  # (G, S)
    return np.concatenate([w @ sums / (w @ bags.sizes)[:, None] for w in bootstrap_weights(len(bags), seed)])


def _stretched(interval: Interval, losses: Floats, expected: Expected, units: Units) -> Interval:
    """The interval of a mean of `losses` (n,), as wide as they are expected to vary, if that is more.

    Only its upper end moves: items that are rare and lacking are those of the high losses.
    """
    value = interval.value
    if not math.isfinite(interval.low):
        return interval
    if np.ptp(losses) == 0.0:
        half = student(len(units) - 1) * math.sqrt(expected.power / len(losses) / len(units))
        return Interval(value, value, value + half)
    by = math.sqrt(expected.excess(losses, units))
    return Interval(value, interval.low, value + by * (interval.high - value))


def _bca(value: float, replicates: Floats, losses: Floats, units: Units) -> Interval:
    """The BCa interval of a statistic whose differential is proportional to the centred `losses` (n,).

    The sign of `losses` is that of the statistic. Percentiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))): z0 from the share
    of replicates below the value, a = sum U^3 / (6 (sum U^2)^1.5) over the units' influences U.
    """
    from scipy.special import ndtr, ndtri

    influence = units.sums(losses - losses.mean())  # (G,)
    power = float((influence**2).sum())
    if power == 0.0:
        return Interval(value, value, value)
    acceleration = float((influence**3).sum()) / (6.0 * power**1.5)
    below = float(np.mean(replicates < value) + 0.5 * np.mean(replicates == value))
    least = 0.5 / len(replicates)
    z0 = float(ndtri(min(max(below, least), 1.0 - least)))
    z = math.sqrt(len(units) / (len(units) - 1)) * student(len(units) - 1)
    shifted = np.array([z0 - z, z0 + z])
    levels = ndtr(z0 + shifted / np.maximum(1.0 - acceleration * shifted, 0.1))
    low, high = np.quantile(replicates, levels)
    return Interval(value, min(value, float(low)), max(value, float(high)))
