"""Which items a contrastive step compares, and how a step's items are dealt to passes through the network.

Up to a step's size all items are compared at once. Beyond it a step draws as many of each class, so that every anchor
has company; where there are too many classes for that, some of the classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Rows
from headstart.tasks import Target

COMPANY = 4  # of a class, at least, in a step that does not hold everything
_DRAW = 3  # what a generator is for; batches.py has the others


class ContrastBatches:
    """The steps of each epoch over the n training items.

    Attributes:
        per_epoch: how many steps there are, such that an epoch sees about n items.
    """

    def __init__(self, target: Target, size: int, seed: int) -> None:
        """`target`: of the training items; `size`: the most items of a step."""
        n = len(target)
        self.per_epoch = max(1, math.ceil(n / size))
        self._all = np.arange(n)
        self._size, self._seed = size, seed
        self._classes: list[Rows] = []
        if target.exclusive:
            codes = target.y.astype(np.int64)
            self._classes = [np.flatnonzero(codes == code) for code in np.unique(codes)]

    def step(self, step: int) -> Rows:
        """The positions that are compared in step 0, 1, ...; a function of the seed and the step alone."""
        if self.per_epoch == 1:
            return self._all
        rng = np.random.default_rng([self._seed, _DRAW, step])
        if not self._classes:
            return np.sort(rng.choice(self._all, self._size, replace=False))
        held = min(len(self._classes), max(2, self._size // COMPANY))
        chosen = rng.choice(len(self._classes), held, replace=False)
        each = self._size // held
        drawn = [rng.permutation(self._classes[code])[:each] for code in chosen]
        return np.sort(np.concatenate(drawn))


def passes(lengths: NDArray[np.int64], cost: int, most: int) -> list[Rows]:
    """Deal n texts to passes of one padded length each, such that padding and passes together cost the least.

    Texts sorted by length are cut into runs; a run of m texts up to length t costs m t tokens and, whatever it holds,
    `cost` more. The best cuts are found by dynamic programming over the distinct lengths.

    Args:
        lengths: (n,) tokens.
        cost: of a pass by itself, in tokens.
        most: tokens of a pass, at most; a longer text has one of its own.

    Returns:
        Positions, the shortest texts first.
    """
    order = np.argsort(lengths, kind="stable")
    sizes, counts = np.unique(lengths, return_counts=True)
    ends = np.cumsum(counts)  # texts up to each distinct length
    starts = ends - counts
    best = np.zeros(len(sizes) + 1)
    back = np.zeros(len(sizes) + 1, np.int64)
    for last in range(len(sizes)):
        tokens = (ends[last] - starts[: last + 1]) * sizes[last]  # of runs from each distinct length up to this one
        runs = np.maximum(1, np.ceil(tokens / most))
        total = best[: last + 1] + tokens + runs * cost
        back[last + 1] = int(np.argmin(total))
        best[last + 1] = total[back[last + 1]]
    found: list[Rows] = []
    last = len(sizes)
    while last:
        first = int(back[last])
        run = order[starts[first] : ends[last - 1]]
        room = max(1, most // int(sizes[last - 1]))
        found += np.array_split(run, math.ceil(len(run) / room))[::-1]
        last = first
    return found[::-1]
