"""Learning curves: what a strategy scores with ever more labels, and how many labels one saves over another.

The number of labels that a curve needs for a score is read off its rising form (isotonic regression: more labels are
not worse, dips are noise), linear in the score over the logarithm of the labels. Two curves are compared at the highest
score that both reach:

    goal = min(best of ours, best of theirs),    labels saved = labels theirs need for it / labels ours need for it

It is at least 1 where ours ends higher, at most 1 where it ends lower. Where ours has the goal with the fewest labels
that were tried already, how few would do is not known: the ratio is a lower bound ("> 12"). Where theirs has, an upper
bound; where both have, nothing can be told.

The interval is of a bootstrap over draws of labels and over test items at once, each curve meeting the same draws and
items in a replicate. S - 1 of the S draws are taken, with replacement: a bootstrap of S from S would be too narrow by
sqrt((S - 1) / S), which for few draws is much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.intervals import LEVEL, Interval, mean_interval, student
from headstart.evidence.units import Units, bootstrap_weights, units_of

Floats = NDArray[np.float64]
Bound = Literal["", "more", "less"]


@dataclass(frozen=True, eq=False)
class Curve:
    """What a strategy scored at K numbers of labels, on the same t test items.

    Attributes:
        labels: (K,) float64, ascending: how many labels were learned from, the mean over draws.
        scores: K arrays (S, t) float64, the score of each item by each draw; (1, t) where only one draw is possible.
    """

    labels: Floats
    scores: Sequence[Floats]

    def __post_init__(self) -> None:
        items = {scores.shape[1] for scores in self.scores}
        draws = {len(scores) for scores in self.scores} - {1}
        rising_labels = len(self.labels) > 0 and bool((np.diff(self.labels) > 0).all()) and self.labels[0] > 0
        if not rising_labels or len(self.labels) != len(self.scores) or len(items) != 1 or len(draws) > 1:
            raise DataError(
                "a curve needs ascending numbers of labels, and for each the scores (draws, items) of the same items "
                f"by as many draws; got labels {self.labels.tolist()} and shapes {[s.shape for s in self.scores]}"
            )

    @property
    def means(self) -> Floats:
        """(K,) the mean over draws and items."""
        return np.array([scores.mean() for scores in self.scores])

    @property
    def draws(self) -> int:
        """S."""
        return max(len(scores) for scores in self.scores)


@dataclass(frozen=True)
class Saved:
    """How many times the labels theirs need for what ours reaches.

    Attributes:
        value: the ratio, or its bound; nan where nothing can be told.
        low, high: its 95 % interval; 0 and infinite where it has no end.
        bound: "more" where the ratio is above `value`, "less" where it is below, "" where it was measured.
        goal: the score at which the curves were compared.
        ours, theirs: the labels needed for it.
    """

    value: float
    low: float
    high: float
    bound: Bound
    goal: float
    ours: float
    theirs: float

    def json(self) -> dict[str, Any]:
        """Its fields; None for what is not finite."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high", "goal", "ours", "theirs")}
        plain = {name: float(x) if math.isfinite(x) else None for name, x in numbers.items()}
        return {**plain, "bound": self.bound or None}


def point_interval(scores: Floats, groups: NDArray[np.int64] | None = None) -> Interval:
    """The mean of item scores (S, t) with the doubt of the test items and of the draws, in quadrature.

    Of the draws' means Student's t. What a draw and an item have to do with each other counts in both, so the interval
    is rather wide than narrow; of a single draw nothing is known, and nothing added.

    Raises:
        DataError: no items, or a number of group codes other than t.
    """
    interval = mean_interval(scores.mean(axis=0), groups)
    draws = len(scores)
    if draws == 1:
        return interval
    half = student(draws - 1) * float(scores.mean(axis=1).std(ddof=1)) / math.sqrt(draws)
    wider = interval.corrected(0.0, half)
    if scores.min() < 0 or scores.max() > 1:
        return wider
    return Interval(wider.value, max(wider.low, 0.0), min(wider.high, 1.0))


def rising(values: Floats) -> Floats:
    """The non-decreasing sequence with the least squared distance to `values` (K,), by pooling adjacent violators.

    Ayer et al. (1955): neighbours that fall are replaced by their mean, until none does.
    """
    blocks: list[tuple[float, int]] = []  # mean, length
    for value in values.tolist():
        mean, length = value, 1
        while blocks and blocks[-1][0] >= mean:
            before, many = blocks.pop()
            mean, length = (before * many + mean * length) / (many + length), many + length
        blocks.append((mean, length))
    return np.repeat([mean for mean, _ in blocks], [length for _, length in blocks])


def labels_for(goal: float, labels: Floats, scores: Floats) -> tuple[float, bool]:
    """The fewest labels with which a rising curve reaches `goal`, and whether fewer than were tried might do.

    Args:
        labels: (K,) ascending.
        scores: (K,) not decreasing, the last at least `goal`.
    """
    k = int(np.searchsorted(scores, goal))
    if k == 0:
        return float(labels[0]), True
    share = (goal - scores[k - 1]) / (scores[k] - scores[k - 1])
    return float(labels[k - 1] * (labels[k] / labels[k - 1]) ** share), False


def labels_saved(ours: Curve, theirs: Curve, groups: NDArray[np.int64] | None = None, seed: int = 0) -> Saved:
    """How many times the labels `theirs` need for the highest score that both reach.

    Args:
        groups: (t,) codes of test items that are not independent.
        seed: of the bootstrap.

    Raises:
        DataError: the curves are not of the same items and draws, or the groups not of these items.
    """
    if ours.scores[0].shape[1] != theirs.scores[0].shape[1] or ours.draws != theirs.draws:
        raise DataError("two curves are compared on the same test items and draws of labels, and these are of others")
    point = _ratio(ours.labels, ours.means, theirs.labels, theirs.means)
    units = units_of(ours.scores[0].shape[1], groups).merged(seed)
    replicates = [
        _ratio(ours.labels, mine, theirs.labels, other)
        for mine, other in zip(_replicates(ours, units, seed), _replicates(theirs, units, seed), strict=True)
    ]
    told = sorted((one for one in replicates if one.bound != "none"), key=_Ratio.order)
    if point.bound == "none" or 2 * len(told) < len(replicates):
        return Saved(math.nan, math.nan, math.nan, "", point.goal, point.ours, point.theirs)
    ends = (1 - LEVEL) / 2
    low, high = told[int(ends * len(told))], told[math.ceil((1 - ends) * len(told)) - 1]
    return Saved(
        value=point.value,
        low=min(0.0 if low.bound == "less" else low.value, point.value),
        high=max(math.inf if high.bound == "more" else high.value, point.value),
        bound=point.bound,
        goal=point.goal,
        ours=point.ours,
        theirs=point.theirs,
    )


@dataclass(frozen=True)
class _Ratio:
    """Of one replicate; `bound` is "none" where nothing can be told."""

    bound: Literal["", "more", "less", "none"]
    goal: float
    ours: float
    theirs: float

    @property
    def value(self) -> float:
        return self.theirs / self.ours

    def order(self) -> tuple[int, float]:
        """Upper bounds come before what was measured, lower bounds after it."""
        return {"less": -1, "": 0, "more": 1, "none": 2}[self.bound], self.value


def _ratio(our_labels: Floats, our_scores: Floats, their_labels: Floats, their_scores: Floats) -> _Ratio:
    mine, other = rising(our_scores), rising(their_scores)
    goal = float(min(mine[-1], other[-1]))
    ours, ours_first = labels_for(goal, our_labels, mine)
    theirs, theirs_first = labels_for(goal, their_labels, other)
    if ours_first and theirs_first:
        return _Ratio("none", goal, ours, theirs)
    return _Ratio("more" if ours_first else "less" if theirs_first else "", goal, ours, theirs)


def _replicates(curve: Curve, units: Units, seed: int) -> Iterator[Floats]:
    """(K,) mean scores of each bootstrap replicate. The same units and seed give the same draws and items."""
    sums = [units.sums(np.ascontiguousarray(scores.T)) for scores in curve.scores]  # each (G, S) or (G, 1)
    rng = np.random.default_rng([seed, 1])
    draws = curve.draws
    for weights in bootstrap_weights(len(units), seed):  # (b, G)
        taken = rng.multinomial(max(draws - 1, 1), np.full(draws, 1 / draws), size=len(weights))  # (b, S)
        shares = taken / taken.sum(axis=1, keepdims=True)
        sizes = (weights @ units.sizes)[:, None]
        by_draw = [weights @ of / sizes for of in sums]  # each (b, S) or (b, 1)
        means = [(one * shares).sum(axis=1) if one.shape[1] == draws else one[:, 0] for one in by_draw]
        yield from np.stack(means, axis=1)  # (b, K)
