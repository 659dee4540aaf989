"""Folds for cross-fitting inside a head: stratified by class, groups kept whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.tasks import Target


def inner_folds(target: Target, groups: NDArray[np.int64] | None, k: int, seed: int) -> NDArray[np.int64]:
    """(n,) the fold, 0..k-1, in which each item is left out; no fold is empty where there are k groups or items.

    Items are dealt out class by class (multilabel, regression: in random order), so that classes are spread evenly;
    with groups, whole groups are, largest first, each to the fold with the fewest items of the group's classes.
    """
    rng = np.random.default_rng(seed)
    n = len(target)
    codes = target.y.astype(np.int64) if target.exclusive else np.zeros(n, dtype=np.int64)
    shuffled = rng.permutation(n)
    if groups is None:
        dealt = shuffled[np.argsort(codes[shuffled], kind="stable")]
        folds = np.empty(n, dtype=np.int64)
        folds[dealt] = np.arange(n) % min(k, n)
        return folds
    names, member = np.unique(groups, return_inverse=True)
    content = np.zeros((len(names), int(codes.max()) + 1))  # (groups, classes) items
    np.add.at(content, (member, codes), 1)
    filled = np.zeros((min(k, len(names)), content.shape[1]))
    place = np.empty(len(names), dtype=np.int64)
    for group in sorted(rng.permutation(len(names)), key=lambda g: -content[g].sum()):
        load = filled @ content[group] + 1e-6 * filled.sum(axis=1)
        place[group] = int(np.argmin(load))
        filled[place[group]] += content[group]
    return place[member]
