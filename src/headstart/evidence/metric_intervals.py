"""The 95 % interval of every metric. Which one, and why:

scores from 0 to 1   Wilson's (1927) at the effective number of items (Korn & Graubard 1998; Dean & Pagano 2015),
                     the variance by influence functions, summed within groups. Neither collapses at a perfect score
                     nor leaves [0, 1], as a bootstrap percentile or a normal interval does. For accuracy without
                     groups it is Wilson's interval itself; for AUC the variance is DeLong's.
losses, r2           the bootstrap, BCa, stretched where rare items are lacking; see `bootstrap`.
ece                  the bootstrap of its bins; see `bootstrap`.
map                  none: low and high are nan.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.bootstrap import balanced_loss, ece_interval, loss_intervals
from headstart.evidence.intervals import Interval, mean_interval, wilson
from headstart.evidence.metrics import BALANCED, Counts, correct, item_scores, mean_ratio, ranked, ratios, score
from headstart.evidence.ranking import macro_auc
from headstart.evidence.units import Units, units_of
from headstart.tasks import Target

Floats = NDArray[np.float64]


def with_intervals(
    target: Target,
    probabilities: Floats,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
    *,
    balanced: bool = False,
) -> dict[str, Interval]:
    """Every metric of the task with its interval, in the order of `score`.

    Args:
        target: n items.
        probabilities: (n, C) float64 as for `score`.
        groups: (n,) codes of what is not independent (a patient's images); None for independent items.
        seed: of the bootstrap.
        balanced: exclusive classes: with balanced_log_loss, last.

    Returns:
        by name; low and high are nan where there is no interval: an undefined value, fewer than two groups, map.

    Raises:
        DataError: as `score`, or a number of group codes other than n.
    """
    values = score(target, probabilities)
    units = units_of(len(target), groups)
    intervals = {name: Interval(value, math.nan, math.nan) for name, value in values.items()}
    if len(units) > 1:
        intervals |= loss_intervals(target, probabilities, values, units, seed)
    if target.task != "regression":
        intervals |= _bounded(target, probabilities, values, groups)
        if len(units) > 1:
            intervals["ece"] = ece_interval(target, probabilities, units, seed)
    ordered = {name: intervals[name] for name in values}
    return ordered | {"balanced_log_loss": balanced_loss(target, probabilities, units, seed)} if balanced else ordered


def balanced_interval(target: Target, probabilities: Floats, groups: NDArray[np.int64] | None = None) -> Interval:
    """The balanced accuracy of exclusive classes with its interval."""
    return _mean_of_ratios(*ratios(target, probabilities)[BALANCED], units_of(len(target), groups))


def _bounded(
    target: Target, probabilities: Floats, values: dict[str, float], groups: NDArray[np.int64] | None
) -> dict[str, Interval]:
    """Intervals of the scores from 0 to 1."""
    units = units_of(len(target), groups)
    intervals = {"accuracy": mean_interval(correct(target, probabilities).astype(np.float64), groups)}
    if target.task == "multilabel":
        intervals["samples_f1"] = mean_interval(item_scores(target, probabilities), groups)
    for name, (numerators, denominators) in ratios(target, probabilities).items():
        if math.isfinite(values[name]):
            of = _macro_f1 if name == "macro_f1" else _mean_of_ratios
            intervals[name] = of(numerators, denominators, units)
    area, influence = macro_auc(*ranked(target, probabilities))
    if math.isfinite(area):
        intervals["auc"] = wilson(area, influence, units, _pieces(target.encoded().sum(axis=0)) / 2)
    return intervals


def _mean_of_ratios(numerators: Counts, denominators: Counts, units: Units) -> Interval:
    """A small class that is all right has no variance of its own, so a mean over classes is held to its pieces.

    A quarter of them for the added doubt is what kept coverage with classes of ten items in simulation.
    """
    pieces = _pieces(denominators.sum(axis=0, dtype=np.float64))
    influence = _ratio_influence(numerators, denominators)
    return wilson(mean_ratio(numerators, denominators), influence, units, pieces / 4, most=pieces)


def _macro_f1(numerators: Counts, denominators: Counts, units: Units) -> Interval:
    """The same of F1, whose denominators count an item that is right twice, and are as random as its numerators.

    So F1 of few items is too low: with TP right items and E mistakes, r = 2 TP / D of D = 2 TP + E, the differential's
    second order is -2 TP E / D^3 = -r (1 - r) / D, if TP and E are Poisson. The interval is about the value without
    that, r of each class held to the mean by one item. With 30 classes and 50 items the bias is a tenth.
    The variance of r is, alike, r (1 - r) (2 - r) / D: that of a proportion of D / (2 - r) items.
    """
    value = mean_ratio(numerators, denominators)
    top, bottom = numerators.sum(axis=0, dtype=np.float64), denominators.sum(axis=0, dtype=np.float64)
    top, bottom = top[bottom > 0], bottom[bottom > 0]
    ratio = (top + 2.0 * value) / (bottom + 2.0)
    unbiased = min(1.0, value + float((ratio * (1.0 - ratio) / bottom).mean()))
    pieces = _pieces(bottom) / (2.0 - unbiased)
    around = wilson(unbiased, _ratio_influence(numerators, denominators), units, pieces / 4, most=pieces)
    if not math.isfinite(around.low):
        return Interval(value, math.nan, math.nan)
    return Interval(value, min(value, around.low), max(value, around.high))


def _pieces(sizes: Floats) -> float:
    """How many separate items a mean over classes of `sizes` (C,) items rests on: C^2 / sum_c 1 / n_c.

    Were each class's score a proportion of its own items, the mean's variance would be p (1 - p) sum_c 1 / n_c / C^2.
    """
    sizes = sizes[sizes > 0]
    return float(len(sizes) ** 2 / (1.0 / sizes).sum())


def _ratio_influence(numerators: Counts, denominators: Counts) -> Floats:
    """(n,) influence of each item on the mean over classes of r_c = sum_i a_ic / sum_i b_ic.

    The differential of r_c is (a_ic - r_c b_ic) / sum_i b_ic.
    """
    top, bottom = numerators.sum(axis=0, dtype=np.float64), denominators.sum(axis=0, dtype=np.float64)
    weight = np.divide(1.0, bottom, out=np.zeros_like(bottom), where=bottom > 0) / max(int((bottom > 0).sum()), 1)
    ratio = np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)
    influence: Floats = numerators @ weight - denominators @ (weight * ratio)
    return influence
