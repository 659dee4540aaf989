"""Statistics over time of several items that lie side by side in one array: a few calls for all of them.

An item's numbers depend on its own columns alone. Sums are taken in float64: one after another, in float32, hours of
frames would lose digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.float32]


class Spans:
    """The columns of n items in an array of N: item i has counts[i] of them, at least one, behind those of item i - 1.

    Attributes:
        counts, starts: (n,) how many columns an item has, and its first.
        total: N.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = np.array(counts, np.int64)
        self.starts = np.cumsum(self.counts) - self.counts
        self.total = int(self.counts.sum())
        self._owners = np.repeat(np.arange(len(counts)), self.counts)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """(..., N) of (..., n): each item's number at each of its columns; (..., 1) of one item."""
        return values if len(self.counts) == 1 else values[..., self._owners]

    def places(self) -> NDArray[np.int64]:
        """(N,) 0, 1, 2 and so on in each item."""
        found: NDArray[np.int64] = np.arange(self.total) - self.spread(self.starts)
        return found

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(..., n) of (..., N)."""
        found: NDArray[np.float64] = self.sum(values) / self.counts
        return found

    def sum(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(..., n) of (..., N)."""
        found: NDArray[np.float64] = np.add.reduceat(values, self.starts, axis=-1, dtype=np.float64)
        return found

    def deviation(self, values: Columns, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k, n) standard deviations of (k, N), whose means are (k, n)."""
        off = values - self.spread(mean.astype(np.float32))
        return np.sqrt(self.mean(np.square(off, out=off)))

    def percentiles(self, values: Columns, shares: Sequence[float]) -> Columns:
        """(len(shares), k, n) of (k, N): the value nearest to each share of the way from the least to the greatest."""
        found = np.empty((len(shares), len(values), len(self.counts)), np.float32)
        for i, (start, count) in enumerate(zip(self.starts.tolist(), self.counts.tolist(), strict=True)):
            ordered = np.sort(values[:, start : start + count], axis=1)
            found[:, :, i] = ordered[:, [round(share * (count - 1)) for share in shares]].T
        return found

    def parts(self, values: Columns, parts: int) -> NDArray[np.float64]:
        """(parts, k, n) of (k, N): means of each part of the time; of fewer columns than parts some stand for two."""
        shares = np.arange(parts + 1)[:, None]
        edges = self.starts + self.counts * shares // parts  # (parts + 1, n)
        # Of a part that is empty reduceat gives the column where it would begin.
        sums = np.add.reduceat(values, edges[:-1].T.ravel(), axis=1, dtype=np.float64)
        means = sums.reshape(len(values), -1, parts) / np.maximum(1, np.diff(edges, axis=0)).T
        return means.transpose(2, 0, 1)

    def slopes(self, values: Columns) -> Columns:
        """(k, N) slopes over five columns: sum_j j (c[t + j] - c[t - j]) / (2 sum_j j^2), an item's ends repeated."""
        here, low, high = np.arange(self.total), self.spread(self.starts), self.spread(self.starts + self.counts - 1)
        before, near_before, near_after, after = (
            values.take(np.clip(here + step, low, high), axis=1) for step in (-2, -1, 1, 2)
        )
        after -= before
        near_after -= near_before
        after *= 2
        after += near_after
        after /= 10
        return after
