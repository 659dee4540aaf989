"""Features of a data set: one matrix, its columns in named blocks, one block a tap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.engines.memory import Choice
from headstart.features.paged import give_back, in_file, step
from headstart.sources.base import Tap


@dataclass(frozen=True, eq=False)
class Features:
    """What one source said of n items.

    Attributes:
        taps: the blocks, in column order.
        matrix: (n, D) float16 in the cache's precision; rows of failed items are zero. Large ones lie in
            a file (see `paged`): `select` copies from it some rows at a time.
        failures: position of each item that could not be read -> the reason.
        seconds: wall seconds spent embedding what was not cached.
        cached: how many of the n came from the cache.
        described: (n, d) float16, what files are without a source, where asked for; rows of failed items are zero.
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
        together = np.array_equal(columns, np.arange(columns[0], columns[0] + len(columns)))
        block = self.matrix[:, columns[0] : columns[0] + len(columns)]
        if in_file(self.matrix):
            return self._copied(np.arange(len(self)) if rows is None else rows, block if together else columns)
        if together:
            return block if rows is None else block[rows]
        return self.matrix[:, columns] if rows is None else self.matrix[np.ix_(rows, columns)]

    def _copied(self, rows: NDArray[np.int64], columns: NDArray[Any]) -> NDArray[np.float16]:
        """A copy from a file, some rows at a time; `columns` are positions (1-d) or the block itself (2-d)."""
        found = np.empty((len(rows), columns.shape[-1]), np.float16)
        size = step(self.matrix.shape[1], self.matrix.dtype)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            found[start : start + size] = columns[some] if columns.ndim == 2 else self.matrix[np.ix_(some, columns)]
            give_back(self.matrix)
        return found

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Those of some items, ascending; the failures and descriptors of the others are gone.

        A matrix in a file is moved together in its place, and this object is of no use after.
        """
        described = None if self.described is None else self.described[rows]
        failures = {int(new): self.failures[old] for new, old in enumerate(rows.tolist()) if old in self.failures}
        matrix = self.matrix[rows] if not in_file(self.matrix) else self._moved(rows)
        return replace(self, matrix=matrix, described=described, failures=failures)

    def _moved(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        size = step(self.matrix.shape[1], self.matrix.dtype)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            self.matrix[start : start + len(some)] = self.matrix[some]
            give_back(self.matrix)
        return self.matrix[: len(rows)]

    @property
    def held_bytes(self) -> int:
        """Of memory, between uses."""
        return 0 if in_file(self.matrix) else self.matrix.nbytes
