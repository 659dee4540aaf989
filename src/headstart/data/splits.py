"""Splits that are fair: every class on both sides, a group on one side only, the past before the future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.stratify import assign, strata
from headstart.errors import DataError, OptionError
from headstart.tasks import Target

Indices = NDArray[np.int64]

FOLDS, MOST_FOLDS = 5, 10
FEW = 100  # items, up to which MOST_FOLDS cost little and leave more to learn from


@dataclass(frozen=True, eq=False)
class Fold:
    """Positions of the items to learn from and of those to check on, each (m,) int64 and ascending."""

    train: Indices
    test: Indices


def folds(
    target: Target,
    *,
    groups: Indices | None = None,
    times: NDArray[np.float64] | None = None,
    k: int = 5,
    seed: int = 0,
) -> list[Fold]:
    """Cut n items into k folds.

    Without `times` every item is tested in exactly one fold, and the folds are stratified: a class's items in two folds
    differ by one at most (regression: those of a tenth of the sorted values; many labels or groups: as near as is found
    greedily). A class with fewer than k items is tested in as many folds as it has items; one with a single item is
    tested in one fold, where it was not learned, and learned in the others.

    With `times`, fold i learns from what is strictly earlier than what it tests (forward chaining), and the earliest
    items are never tested. With `groups` too, a group that is tested is not learned from in that fold.

    Args:
        groups: (n,) codes; a group is on one side of every fold.
        k: how many folds; fewer where there are fewer items, groups or times.

    Raises:
        OptionError: k below 2.
        DataError: fewer than two items, groups or times; a fold that would learn from fewer than two items; no class
            of two items; or, with `times`, none that is both learned and tested.
    """
    if k < 2:
        raise OptionError(f"{k} folds were asked for; at least two are needed")
    if times is not None:
        return _learnable(target, _forward(times, groups, k))
    n = len(target)
    parts = n if groups is None else len(np.unique(groups))
    k = min(k, parts)
    if k < 2:
        what = "item" if groups is None else "group"
        raise DataError(f"cannot split {parts} {what} in two; expected at least two {what}s")
    if target.exclusive and len(np.unique(target.y)) == n:
        raise DataError(
            f"each of the {n} items has a class of its own, so none can be both learned and checked: "
            f"give more items a class, or name another label"
        )
    side = assign(target, np.full(k, 1 / k), groups, np.random.default_rng(seed))
    out = [Fold(np.flatnonzero(side != i), np.flatnonzero(side == i)) for i in range(k)]
    if min(len(fold.train) for fold in out) < 2:
        of = "" if groups is None else f" in {parts} groups"
        raise DataError(f"{n} items{of} cannot be split so that two are left to learn from: give more")
    return out


def usual_folds(n: int, groups: Indices | None = None) -> int:
    """How many folds n items are cut into: FOLDS, or MOST_FOLDS where they are few.

    Up to MOST_FOLDS groups (the speakers of a study, the folds that a data set comes with) are tested one by one, each
    by what was learned from all others, rather than some of them together.
    """
    usual = MOST_FOLDS if n <= FEW else FOLDS
    parts = 0 if groups is None else len(np.unique(groups))
    return parts if usual < parts <= MOST_FOLDS else usual


def holdout(target: Target, fraction: float, *, groups: Indices | None = None, seed: int = 0) -> Fold:
    """One split with about `fraction` of the items, and of each class, in test; both sides have an item at least.

    Raises:
        OptionError: a fraction that is not between 0 and 1.
        DataError: fewer than two items or groups.
    """
    if not 0 < fraction < 1:
        raise OptionError(f"a holdout of {fraction} was asked for; expected a fraction between 0 and 1")
    parts = len(target) if groups is None else len(np.unique(groups))
    if parts < 2:
        raise DataError(f"cannot split {parts} {'item' if groups is None else 'group'} in two")
    side = assign(target, np.array([1 - fraction, fraction]), groups, np.random.default_rng(seed))
    return Fold(np.flatnonzero(side == 0), np.flatnonzero(side == 1))


def latest(times: NDArray[np.float64], fraction: float, *, groups: Indices | None = None) -> Fold:
    """One split in time: about the latest `fraction` of the items in test, what is strictly earlier to learn from.

    A time is on one side; of the cuts between two times that are even near, the earlier one. With `groups`, a group
    that is tested is not learned from.

    Raises:
        OptionError: a fraction that is not between 0 and 1.
        DataError: fewer than two times, an item without one, or fewer than two items left to learn from.
    """
    if not 0 < fraction < 1:
        raise OptionError(f"a holdout of {fraction} was asked for; expected a fraction between 0 and 1")
    _check_times(times)
    distinct, counts = np.unique(times, return_counts=True)
    if len(distinct) < 2:
        raise DataError("all items have the same time, so none is later than another; leave time out")
    before = np.cumsum(counts)[:-1]  # items before each time but the first
    test = times >= distinct[1 + int(np.abs(before - (1 - fraction) * len(times)).argmin())]
    train = ~test if groups is None else ~test & ~np.isin(groups, groups[test])
    if np.count_nonzero(train) < 2:
        of = "" if groups is None else " of groups that are not tested"
        raise DataError(f"fewer than two items{of} are earlier than the {np.count_nonzero(test)} to test: give more")
    return Fold(np.flatnonzero(train), np.flatnonzero(test))


def subset_per_class(target: Target, per_class: int, *, seed: int) -> Indices:
    """A few-shot draw: `per_class` items of each class at random, all of a class that has fewer. Ascending positions.

    Many labels: items are drawn, the rarest label first, until each label holds for `per_class` of them.

    Raises:
        OptionError: per_class below 1, or a regression target.
    """
    if per_class < 1:
        raise OptionError(f"{per_class} items a class were asked for; expected at least one")
    if target.task == "regression":
        raise OptionError("a number has no classes to draw from; draw a fraction with holdout")
    rng = np.random.default_rng(seed)
    hot = strata(target)  # (n, C)
    drawn = np.zeros(len(target), bool)
    for label in np.argsort(hot.sum(axis=0), kind="stable"):
        has = hot[:, label] > 0
        lacking = per_class - int(drawn[has].sum())
        if lacking > 0:
            drawn[rng.permutation(np.flatnonzero(has & ~drawn))[:lacking]] = True
    return np.flatnonzero(drawn)


def _forward(times: NDArray[np.float64], groups: Indices | None, k: int) -> list[Fold]:
    """Cut the time axis into k + 1 stretches of about as many items; each but the first is tested once."""
    _check_times(times)
    n = len(times)
    _, when, counts = np.unique(times, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2  # items before the middle of each distinct time
    stretch = np.unique(np.floor(middle * (k + 1) / max(n, 1)), return_inverse=True)[1][when]
    out = []
    for i in range(1, int(stretch.max(initial=0)) + 1):
        test = stretch == i
        train = stretch < i
        if groups is not None:
            train &= ~np.isin(groups, groups[test])
        if np.count_nonzero(train) > 1:
            out.append(Fold(np.flatnonzero(train), np.flatnonzero(test)))
    if not out:
        raise DataError(
            f"no time-ordered split: {len(counts)} distinct times, and fewer than two earlier items to learn from"
        )
    return out


def _learnable(target: Target, split: list[Fold]) -> list[Fold]:
    """The folds, if some class is both learned and tested in one of them."""
    if target.exclusive and not any(np.isin(target.y[fold.test], target.y[fold.train]).any() for fold in split):
        raise DataError(
            "no class stands both earlier and later, so none can be both learned and checked: leave time out, or name "
            "another label"
        )
    return split


def _check_times(times: NDArray[np.float64]) -> None:
    if not np.isfinite(times).all():
        raise DataError("some items have no time; leave them out of a time-ordered split")
