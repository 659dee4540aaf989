"""95 % intervals: of a mean of item scores, and of the difference of two models on the same items.

Items are drawn independently, or whole groups of them where groups are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.units import Units, units_of

Floats = NDArray[np.float64]

LEVEL = 0.95
# Mistakes of one group that count as evidence of how mistakes cluster. With 3, intervals over 5 to 10 groups of 20 to
# 500 items kept about 94 % coverage or more in simulations, at down to a third of the width that they have with none.
_A_GROUP = 3


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

    def corrected(self, by: float, uncertainty: float) -> Interval:
        """Moved by `by`, each side widened in quadrature by the half-width `uncertainty` of that correction."""
        value = self.value + by
        below, above = math.hypot(self.value - self.low, uncertainty), math.hypot(self.high - self.value, uncertainty)
        return Interval(value, value - below, value + above)

    def within(self, lowest: float, highest: float) -> Interval:
        """The same where no value is outside of [lowest, highest]; what is not known stays unknown."""
        return Interval(*(min(max(x, lowest), highest) for x in (self.value, self.low, self.high)))


def mean_interval(scores: Floats, groups: NDArray[np.int64] | None = None) -> Interval:
    """The mean of item scores (n,): Wilson's interval where all are within [0, 1], else Student's t on the units.

    Scores that are at most 1, as those of R2, have an interval that is too.

    Raises:
        DataError: no items, or a number of group codes other than n.
    """
    units = units_of(len(scores), groups)
    value = float(scores.mean())
    influence = (scores - value) / len(scores)
    if scores.min() < 0 or scores.max() > 1:
        half = student(len(units) - 1) * _standard_error(influence, units)
        return Interval(value, value - half, value + half).within(-math.inf, 1.0 if scores.max() <= 1 else math.inf)
    if _right_or_wrong(scores):
        return wilson(value, influence, units, most=len(scores), seen=_seen(scores, units))
    return wilson(value, influence, units, pieces=len(units) / 2)


def paired_difference(
    a: Floats, b: Floats, groups: NDArray[np.int64] | None = None, weights: Floats | None = None
) -> Interval:
    """The mean of a - b, two models' item scores (n,) on the same items.

    Right or wrong scores of independent items: the adjusted Wald interval of Bonett & Price (2012), which adds one
    item to each kind of disagreement and so keeps its coverage where the models seldom differ:

        (n10 - n01) / (n + 2)  ±  z sqrt((p10 + p01 - (p10 - p01)^2) / (n + 2)),   p = (count + 1) / (n + 2)

    All else: Student's t on the units' summed differences. Groups of which none differs do not make two models one:
    there the adjusted interval is taken, at one item a group. As in the sign test, a unit without a difference tells
    nothing of the direction, so the degrees of freedom count the units that differ, less one.

    Args:
        a, b, groups: as above.
        weights: (n,) that right or wrong scores were multiplied with. Where no item differs they tell how many items
            of equal weight there would be (Kish 1965): (sum w)^2 / sum w^2.

    Raises:
        DataError: no items, or unequal numbers of them.
    """
    if len(a) != len(b):
        raise DataError(f"got {len(a)} and {len(b)} item scores to compare, expected the same items in both")
    units = units_of(len(a), groups)
    difference = a - b
    value = float(difference.mean())
    if not units.grouped and _right_or_wrong(a) and _right_or_wrong(b):
        return _adjusted_wald(value, int((difference > 0).sum()), int((difference < 0).sum()), len(a))
    differing = int(np.count_nonzero(units.sums(difference)))
    if differing == 0 and weights is not None:
        return _adjusted_wald(value, 0, 0, min(len(units), float(weights.sum() ** 2 / (weights**2).sum())))
    if differing == 0 and _right_or_wrong(a) and _right_or_wrong(b):
        return _adjusted_wald(value, 0, 0, len(units))  # as if each group were one item
    if differing == 0:
        return Interval(value, value, value)
    half = student(max(differing - 1, 1)) * _standard_error((difference - value) / len(a), units)
    return Interval(value, value - half, value + half)


def _adjusted_wald(value: float, only_a: int, only_b: int, n: float) -> Interval:
    """Bonett & Price's interval of the difference, from the items of n that only a, and only b, has right."""
    p10, p01 = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = _normal() * math.sqrt((p10 + p01 - (p10 - p01) ** 2) / (n + 2))
    return Interval(value, max(p10 - p01 - half, -1.0), min(p10 - p01 + half, 1.0))


def student(freedom: int) -> float:
    """The two-sided 95 % point of Student's t; nan without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2)) if freedom > 0 else math.nan


def _right_or_wrong(scores: Floats) -> bool:
    return bool(((scores == 0.0) | (scores == 1.0)).all())


def _seen(scores: Floats, units: Units) -> float:
    """How many right or wrong scores (n,), whichever are rarer, show how groups differ: at most _A_GROUP of each."""
    if not units.grouped:
        return 0.0
    rare = 1.0 - scores if scores.mean() > 0.5 else scores
    return float(np.minimum(units.sums(rare), _A_GROUP).sum())


def _normal() -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2))


def _standard_error(influence: Floats, units: Units) -> float:
    """Of an estimate whose error is about the sum of independent units' influences, with the G / (G - 1) correction."""
    count = len(units)
    if count < 2:
        return math.nan
    return math.sqrt(count / (count - 1) * float((units.sums(influence) ** 2).sum()))


def wilson(
    value: float,
    influence: Floats,
    units: Units,
    pieces: float = math.inf,
    most: float = math.inf,
    seen: float = 0.0,
) -> Interval:
    """Wilson's interval of a score in [0, 1] at its effective number of items, value (1 - value) / variance.

    A score of 1 has no errors to show how they vary, or how they cluster. So the effective number is reckoned with one
    more piece of evidence, half right, which makes it twice the pieces where the score is perfect. Grouped: Student's
    quantile for G groups.

    Args:
        influence: (n,) of each item on the value; the variance is the sum over units of its squared sums.
        pieces: of how many separate items the value is a mean, where that is fewer than the units.
        most: the effective number's cap: n for right and wrong scores, since groups seldom make items more informative.
            Without groups it is then n exactly.
        seen: mistakes that show how groups differ: so many pieces more.
    """
    count = len(units)
    if units.grouped and count < 2:
        return Interval(value, math.nan, math.nan)
    z = student(count - 1) if units.grouped else _normal()
    pieces = min(min(pieces, count) + seen, most)
    shrunk = (pieces * value + 0.5) / (pieces + 1)
    variance = float((units.sums(influence) ** 2).sum()) + ((0.5 - value) / pieces) ** 2
    if units.grouped:
        variance *= count / (count - 1)
    n = min(shrunk * (1.0 - shrunk) / variance if variance > 0 else math.inf, most)
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(value * (1.0 - value), 0.0) / n + z * z / (4 * n * n))
    return Interval(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))
