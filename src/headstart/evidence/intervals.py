"""95 % intervals: of every metric, and of the difference of two models on the same items.

Items are drawn independently, or whole groups of them where groups are given. Which interval, and why:

    scores from 0 to 1   Wilson's (1927) at the effective number of items (Korn & Graubard 1998; Dean & Pagano 2015),
                         the variance by influence functions, summed within groups. Neither collapses at a perfect score
                         nor leaves [0, 1], as a bootstrap percentile or a normal interval does. For accuracy without
                         groups it is Wilson's interval itself; for AUC the variance is DeLong's.
    losses, r2           percentiles of 1,000 bootstrap replicates, spread as Student's t is for few units
                         (Hesterberg 2015). BCa would need a leave-one-out fit of each metric and hardly moves means.
    ece                  the same replicates, reflected about the value (the "basic" interval): resampling adds to the
                         upward bias of ECE, reflection takes it off again. The value is always inside.
    map                  none: low and high are nan.
    differences          see `paired_difference`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.metrics import (
    BINS,
    calibration_gaps,
    correct,
    item_losses,
    item_scores,
    ranked,
    ratios,
    score,
)
from headstart.evidence.ranking import macro_auc
from headstart.evidence.units import Units, bootstrap_weights, units_of
from headstart.tasks import Target

Floats = NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; nan where undefined."""

    value: float
    low: float
    high: float

    def json(self) -> dict[str, float | None]:
        """`value`, `low`, `high`; None for what is not finite."""
        fields = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(x) if math.isfinite(x) else None for name, x in fields.items()}

    def shifted(self, by: float) -> Interval:
        """The same width elsewhere."""
        return Interval(self.value + by, self.low + by, self.high + by)


def with_intervals(
    target: Target, probabilities: Floats, groups: NDArray[np.int64] | None = None, seed: int = 0
) -> dict[str, Interval]:
    """Every metric of the task with its interval, in the order of `score`.

    Args:
        target: n items.
        probabilities: (n, C) float64 as for `score`.
        groups: (n,) codes of what is not independent (a patient's images); None for independent items.
        seed: of the bootstrap.

    Raises:
        DataError: as `score`.
    """
    values = score(target, probabilities)
    units = units_of(len(target), groups)
    intervals = {name: Interval(value, math.nan, math.nan) for name, value in values.items()}
    intervals |= _bootstrapped(target, probabilities, values, units, seed)
    if target.task != "regression":
        intervals |= _bounded(target, probabilities, values, units)
    return {name: intervals[name] for name in values}


def mean_interval(scores: Floats, groups: NDArray[np.int64] | None = None) -> Interval:
    """The mean of item scores (n,): Wilson's interval where all are within [0, 1], else Student's t on the units."""
    units = units_of(len(scores), groups)
    value = float(scores.mean())
    influence = (scores - value) / len(scores)
    if scores.min() >= 0 and scores.max() <= 1:
        return _wilson(value, influence, len(scores), units)
    half = student(len(units) - 1) * _standard_error(influence, units)
    return Interval(value, value - half, value + half)


def paired_difference(a: Floats, b: Floats, groups: NDArray[np.int64] | None = None) -> Interval:
    """The mean of a - b, two models' item scores (n,) on the same items.

    Right or wrong scores of independent items: the adjusted Wald interval of Bonett & Price (2012), which adds one
    item to each kind of disagreement and so keeps its coverage where the models seldom differ:

        (n10 - n01) / (n + 2)  ±  z sqrt((p10 + p01 - (p10 - p01)^2) / (n + 2)),   p = (count + 1) / (n + 2)

    All else: Student's t on the units' summed differences. As in the sign test, a unit without a difference tells
    nothing of the direction, so the degrees of freedom count the units that differ, less one.

    Raises:
        DataError: no items, or unequal numbers of them.
    """
    if len(a) != len(b):
        raise DataError(f"got {len(a)} and {len(b)} item scores to compare, expected the same items in both")
    units = units_of(len(a), groups)
    difference = a - b
    value = float(difference.mean())
    if not units.grouped and np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all():
        n = len(a) + 2
        only_a, only_b = ((difference > 0).sum() + 1) / n, ((difference < 0).sum() + 1) / n
        half = _normal() * math.sqrt((only_a + only_b - (only_a - only_b) ** 2) / n)
        centre = float(only_a - only_b)
        return Interval(value, max(centre - half, -1.0), min(centre + half, 1.0))
    differing = int(np.count_nonzero(units.sums(difference)))
    if differing == 0:
        return Interval(value, value, value)
    half = student(max(differing - 1, 1)) * _standard_error((difference - value) / len(a), units)
    return Interval(value, value - half, value + half)


def student(freedom: int) -> float:
    """The two-sided 95 % point of Student's t; nan without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2)) if freedom > 0 else math.nan


def _normal() -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2))


def _standard_error(influence: Floats, units: Units) -> float:
    """Of an estimate whose error is about the sum of independent units' influences, with the G / (G - 1) correction."""
    count = len(units)
    if count < 2:
        return math.nan
    return math.sqrt(count / (count - 1) * float((units.sums(influence) ** 2).sum()))


def _wilson(value: float, influence: Floats, most: float, units: Units) -> Interval:
    """Wilson's interval of a score in [0, 1] at its effective number of items, value (1 - value) / variance.

    `most` caps that number: groups seldom make items more informative, and a score of exactly 0 or 1 has no variance.
    Grouped: Student's quantile for G groups in place of the normal one.
    """
    if units.grouped and len(units) < 2:
        return Interval(value, math.nan, math.nan)
    z = student(len(units) - 1) if units.grouped else _normal()
    correction = len(units) / (len(units) - 1) if units.grouped else 1.0
    variance = correction * float((units.sums(influence) ** 2).sum())
    spread = value * (1.0 - value)
    n = min(spread / variance, most) if spread > 0 and variance > 0 else most
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(spread, 0.0) / n + z * z / (4 * n * n))
    return Interval(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def _bounded(target: Target, probabilities: Floats, values: dict[str, float], units: Units) -> dict[str, Interval]:
    """Intervals of the scores from 0 to 1."""
    n = len(target)
    hits = correct(target, probabilities).astype(np.float64)
    intervals = {"accuracy": _wilson(values["accuracy"], (hits - values["accuracy"]) / n, n, units)}
    if target.task == "multilabel":
        scores = item_scores(target, probabilities)
        intervals["samples_f1"] = _wilson(values["samples_f1"], (scores - values["samples_f1"]) / n, n, units)
    most = min(float(n), _class_averaged_items(target))
    for name, (numerators, denominators) in ratios(target, probabilities).items():
        cap = float(n) if name == "micro_f1" else most
        if math.isfinite(values[name]):
            intervals[name] = _wilson(values[name], _ratio_influence(numerators, denominators), cap, units)
    area, influence = macro_auc(*ranked(target, probabilities))
    if math.isfinite(area):
        intervals["auc"] = _wilson(area, influence, most, units)
    return intervals


def _class_averaged_items(target: Target) -> float:
    """How many items a mean over classes rests on: C^2 / sum_c 1/n_c, the reciprocal of the mean's variance where
    each class's own score has that of a proportion of its n_c items."""
    counts = target.encoded().sum(axis=0)
    counts = counts[counts > 0]
    return float(len(counts) ** 2 / (1.0 / counts).sum()) if len(counts) else 1.0


def _ratio_influence(numerators: NDArray[np.int8], denominators: NDArray[np.int8]) -> Floats:
    """(n,) influence of each item on the mean over classes of r_c = sum_i a_ic / sum_i b_ic.

    The differential of r_c is (a_ic - r_c b_ic) / sum_i b_ic.
    """
    top, bottom = numerators.sum(axis=0, dtype=np.float64), denominators.sum(axis=0, dtype=np.float64)
    weight = np.divide(1.0, bottom, out=np.zeros_like(bottom), where=bottom > 0) / max(int((bottom > 0).sum()), 1)
    ratio = np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)
    influence: Floats = numerators @ weight - denominators @ (weight * ratio)
    return influence


def _bootstrapped(
    target: Target, probabilities: Floats, values: dict[str, float], units: Units, seed: int
) -> dict[str, Interval]:
    """Intervals of the metrics that are functions of a few means over items."""
    if len(units) < 2:
        return {}
    columns = item_losses(target, probabilities)
    if target.task == "regression":
        centred = target.y.astype(np.float64) - float(target.y.astype(np.float64).mean())
        columns |= {"y": centred, "y2": centred**2}
    table = np.column_stack(list(columns.values()))  # (n, S)
    if target.task != "regression":
        table = np.hstack([table, calibration_gaps(target, probabilities)])
    means = _replicate_means(table, units.merged(seed), seed)  # (B, S)
    by_name = dict(zip(columns, means.T[: len(columns)], strict=True))
    low, high = _percent_levels(len(units))
    if target.task == "regression":
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1.0 - by_name["squared"] / (by_name.pop("y2") - by_name.pop("y") ** 2)
        by_name = {"r2": r2, "mae": by_name["mae"], "rmse": np.sqrt(by_name["squared"])}
    intervals = {}
    for name, replicates in by_name.items():
        if math.isfinite(values[name]):
            usable = replicates[np.isfinite(replicates)]
            around = np.quantile(usable, [low, high])
            intervals[name] = _containing(values[name], float(around[0]), float(around[1]))
    if target.task != "regression":
        ece = np.quantile(np.abs(means[:, -BINS:]).sum(axis=1), [low, high])
        bottom, top = 2 * values["ece"] - ece[::-1]
        intervals["ece"] = _containing(values["ece"], max(0.0, float(bottom)), float(top))
    return intervals


def _containing(value: float, low: float, high: float) -> Interval:
    return Interval(value, min(value, low), max(value, high))


def _replicate_means(table: Floats, units: Units, seed: int) -> Floats:
    """(B, S) means over the items of each bootstrap replicate of the units."""
    sums = units.sums(table)  # (G, S)
    blocks = [w @ sums / (w @ units.sizes)[:, None] for w in bootstrap_weights(len(units), seed)]
    return np.concatenate(blocks)


def _percent_levels(count: int) -> tuple[float, float]:
    """The bootstrap percentiles to read for G units: Phi(-sqrt(G / (G - 1)) t_{G - 1}), and its mirror.

    Hesterberg (2015): plain 2.5 % points are too narrow for few units, because resampling lacks the factor
    G / (G - 1) and the longer tail of t.
    """
    from scipy.special import ndtr

    low = float(ndtr(-math.sqrt(count / (count - 1)) * student(count - 1)))
    return low, 1.0 - low
