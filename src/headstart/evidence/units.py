"""What is independent of what: items, or whole groups of items; and bootstrap weights over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError

REPLICATES = 1000
MAX_BOOTSTRAP_UNITS = 4_000
_BLOCK_CELLS = 2**21


@dataclass(frozen=True, eq=False)
class Units:
    """The G independent units of n items.

    Attributes:
        index: (n,) int64, the unit of each item.
        sizes: (G,) float64, the items of each unit; all positive.
        grouped: True where units are the user's groups, False where every item stands for itself.
    """

    index: NDArray[np.int64]
    sizes: NDArray[np.float64]
    grouped: bool

    def __len__(self) -> int:
        return len(self.sizes)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(G,) or (G, S) sums by unit of `values` (n,) or (n, S)."""
        if len(self) == len(self.index):
            ordered = np.empty_like(values, dtype=np.float64)
            ordered[self.index] = values
            return ordered
        columns = values.reshape(len(values), -1).T  # (S, n)
        sums = [np.bincount(self.index, column, minlength=len(self)) for column in columns]
        return np.stack(sums, axis=1).astype(np.float64).reshape(len(self), *values.shape[1:])

    def merged(self, seed: int) -> Units:
        """At most MAX_BOOTSTRAP_UNITS units, whole units being dealt at random into larger ones.

        Sums over random bags of independent units have the same total variance as the units, so a bootstrap over
        the bags gives the same intervals at a bounded cost.
        """
        if len(self) <= MAX_BOOTSTRAP_UNITS:
            return self
        bag = np.random.default_rng(seed).permutation(len(self)) % MAX_BOOTSTRAP_UNITS  # (G,)
        return Units(bag[self.index], np.bincount(bag, self.sizes).astype(np.float64), self.grouped)


def units_of(n: int, groups: NDArray[np.int64] | None = None) -> Units:
    """The units of n items: one an item, or one a group where `groups` (n,) is given.

    Raises:
        DataError: no items, or a number of group codes other than n.
    """
    if n == 0:
        raise DataError("got no items to judge, expected at least one; give labelled items")
    if groups is None:
        return Units(np.arange(n), np.ones(n, np.float64), grouped=False)
    if len(groups) != n:
        raise DataError(f"got {len(groups)} group codes for {n} items, expected one an item")
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return Units(index.reshape(-1).astype(np.int64), sizes.astype(np.float64), grouped=True)


def bootstrap_weights(n_units: int, seed: int, replicates: int = REPLICATES) -> Iterator[NDArray[np.float64]]:
    """Blocks (b, G) float64 of how often each unit is drawn in each replicate; `replicates` rows in all.

    Blocks hold at most some 2 million cells, so memory does not grow with the number of units.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // n_units)
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        draws = rng.integers(n_units, size=(rows, n_units)) + n_units * np.arange(rows)[:, None]
        counts = np.bincount(draws.ravel(), minlength=rows * n_units)
        yield counts.reshape(rows, n_units).astype(np.float64)
