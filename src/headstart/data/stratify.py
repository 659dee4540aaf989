"""Deal items to the sides of a split so that each side has its share of everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.tasks import Target

Floats = NDArray[np.float64]
Sides = NDArray[np.int64]

VALUE_BINS = 10  # quantile bins that stand for classes where numbers are split


def assign(target: Target, shares: Floats, groups: NDArray[np.int64] | None, rng: np.random.Generator) -> Sides:
    """(n,) int64: the side of each item. There must be as many items, or groups, as sides.

    Args:
        shares: (k,) positive, summing to 1: the part of the items, and of each class, that a side is to have.
        groups: (n,) codes of items that go together.
    """
    if groups is not None:
        return _deal_groups(strata(target), shares, groups, rng)
    if target.task == "multilabel":
        return _fill_empty(_deal_labels(strata(target), shares, rng), len(shares), rng)
    shuffled = rng.permutation(len(target))
    order = shuffled[np.argsort(_stratum(target)[shuffled], kind="stable")]  # stratum by stratum, at random within
    side = np.empty(len(target), np.int64)
    side[order] = _deal(len(target), shares, rng)
    return _fill_empty(side, len(shares), rng)


def strata(target: Target) -> Floats:
    """(n, C) float64 of 0 and 1: what is to be balanced. Classes, labels, or the quantile bins of numbers."""
    return np.eye(VALUE_BINS)[_stratum(target)] if target.task == "regression" else target.encoded()


def _stratum(target: Target) -> NDArray[np.int64]:
    """(n,) int64: the class of each item, or the quantile bin of its number."""
    if target.exclusive:
        return target.y.astype(np.int64)
    y = target.y.astype(np.float64)
    inner = np.quantile(y, np.linspace(0, 1, VALUE_BINS + 1)[1:-1])
    bins: NDArray[np.int64] = np.searchsorted(inner, y, side="right")
    return bins


def _deal(n: int, shares: Floats, rng: np.random.Generator) -> Sides:
    """(n,) sides such that any stretch of the row has each side's share, to within one item.

    Equal shares: round and round the sides. Two unequal sides: systematic sampling from a random start.
    """
    k = len(shares)
    if k == 2 and shares[0] != shares[1]:
        steps = np.floor(np.arange(n + 1) * shares[1] + rng.random()).astype(np.int64)
        sides: Sides = np.diff(steps)
    else:
        sides = rng.permutation(k)[np.arange(n) % k]
    return sides


def _fill_empty(side: Sides, k: int, rng: np.random.Generator) -> Sides:
    """Give each side without an item one of the largest side's."""
    counts = np.bincount(side, minlength=k)
    for empty in np.flatnonzero(counts == 0):
        largest = int(counts.argmax())
        side[rng.choice(np.flatnonzero(side == largest))] = empty
        counts = np.bincount(side, minlength=k)
    return side


def _deal_labels(hot: Floats, shares: Floats, rng: np.random.Generator) -> Sides:
    """Iterative stratification: Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011, algorithm 1.

    The label with the fewest items left is dealt first, as its balance is the hardest to mend later. Each of its items
    goes to the side that lacks most of that label, then to the one that lacks most items, then at random.
    """
    n, k = len(hot), len(shares)
    side = np.full(n, -1, np.int64)
    lacks = np.outer(shares, hot.sum(axis=0))  # (k, C) items of each label that a side still wants
    room = shares * n  # (k,) items it still wants
    left = hot.sum(axis=0)
    order = rng.permutation(n)
    while (left > 0).any():
        label = int(np.where(left > 0, left, np.inf).argmin())
        for i in order[(hot[order, label] > 0) & (side[order] < 0)]:
            chosen = np.lexsort((rng.random(k), room, lacks[:, label]))[-1]
            side[i] = chosen
            lacks[chosen] -= hot[i]
            room[chosen] -= 1
            left -= hot[i]
    for i in order[side[order] < 0]:  # items without any label
        chosen = int(np.lexsort((rng.random(k), room))[-1])
        side[i] = chosen
        room[chosen] -= 1
    return side


def _deal_groups(hot: Floats, shares: Floats, groups: NDArray[np.int64], rng: np.random.Generator) -> Sides:
    """Whole groups to sides, the largest first, each where it leaves the classes most evenly spread.

    As scikit-learn's StratifiedGroupKFold, with squared instead of standard deviation. With L the (k, C) load of the
    sides, N the totals and s the shares, side j's excess is e_j = L_j - s_j N, and giving it a group with counts g adds

        sum_c ((e_jc + g_c)^2 - e_jc^2) / (s_j N_c^2)  =  (2 e_j . g / N^2 + g . g / N^2) / s_j

    The item count is one more column beside the classes, so that sides are also of even size.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((codes.max() + 1, hot.shape[1] + 1))
    np.add.at(counts, codes, np.column_stack((hot, np.ones(len(hot)))))
    totals = np.maximum(counts.sum(axis=0), 1)
    scaled = counts / totals  # (G, C + 1) each group's part of every class
    shuffled = rng.permutation(len(counts))
    order = shuffled[np.argsort(-(scaled[shuffled] ** 2).sum(axis=1), kind="stable")]
    excess = -np.outer(shares, counts.sum(axis=0) / totals)  # (k, C + 1)
    sizes = np.zeros(len(shares), np.int64)  # groups on each side
    side_of = np.empty(len(counts), np.int64)
    for place, group in enumerate(order):
        part = scaled[group]
        cost = (2 * excess @ part + part @ part) / shares
        if len(counts) - place <= (sizes == 0).sum():  # the last groups are owed to the empty sides
            cost[sizes > 0] = np.inf
        chosen = int(np.lexsort((excess[:, -1], cost.round(12)))[0])
        side_of[group] = chosen
        excess[chosen] += part
        sizes[chosen] += 1
    return side_of[codes]
