"""Features of a data set: one matrix, its columns in named blocks, one block a tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headstart.engines.memory import Choice
from headstart.sources.base import Tap


@dataclass(frozen=True, eq=False)
class Features:
    """What one source said of n items.

    Attributes:
        taps: the blocks, in column order.
        matrix: (n, D) float16 in the cache's precision; rows of failed items are zero.
        failures: position of each item that could not be read -> the reason.
        seconds: wall seconds spent embedding what was not cached.
        cached: how many of the n came from the cache.
        described: (n, d) float16, what `hog` says of images, where it was asked for; rows of failed items are zero.
        choice: the engine and precision that they were computed in, where a graph was run.
    """

    taps: tuple[Tap, ...]
    matrix: NDArray[np.float16]
    failures: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    cached: int = 0
    described: NDArray[np.float16] | None = None
    choice: Choice | None = None

    def __len__(self) -> int:
        return len(self.matrix)

    def columns(self, taps: Sequence[Tap]) -> NDArray[np.int64]:
        """The column positions of `taps`, in their order."""
        start = dict(zip(self.taps, np.cumsum([0] + [tap.width for tap in self.taps[:-1]]), strict=True))
        return np.concatenate([np.arange(start[tap], start[tap] + tap.width) for tap in taps])

    def select(self, taps: Sequence[Tap], rows: NDArray[np.int64] | None = None) -> NDArray[np.float16]:
        """(n, d) float16 of the given blocks side by side, of `rows` or all; neighbouring blocks are copied once."""
        columns = self.columns(taps)
        if np.array_equal(columns, np.arange(columns[0], columns[0] + len(columns))):
            block = self.matrix[:, columns[0] : columns[0] + len(columns)]
            return block if rows is None else block[rows]
        return self.matrix[:, columns] if rows is None else self.matrix[np.ix_(rows, columns)]
