"""One run's results: the matrix as it fills, which item still needs what, and what is yet to be put in the cache."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.features.cache import FeatureCache
from headstart.features.paged import give_back, step, zeros
from headstart.features.stream import Embedded, Need

# A kill loses what was found since the last flush.
_FLUSH_SECONDS = 0.5


class Column:
    """An array of n rows of one space, which of them are known, and its cache (None for none)."""

    def __init__(self, values: NDArray[Any], cache: FeatureCache | None) -> None:
        self.values = values
        self.known = np.zeros(len(values), bool)
        self._flat = values.reshape(len(values), math.prod(values.shape[1:]))
        self._cache = cache
        # An empty cache, the first time, need not be asked for each file.
        self._asked = cache is not None and cache.any()
        self._fresh: list[tuple[bytes, int]] = []

    def recall(self, start: int, keys: Sequence[bytes | None]) -> None:
        """Fill in what the cache knows of the items from `start` on."""
        if self._cache is None or not self._asked:
            return
        size = step(self._flat.shape[1], self.values.dtype)
        for first in range(0, len(keys), size):
            some = keys[first : first + size]
            here = slice(start + first, start + first + len(some))
            self.known[here] |= self._cache.get_many(some, self._flat[here])
            if len(keys) > size:
                give_back(self.values)

    def put(self, position: int, key: bytes, row: NDArray[Any]) -> None:
        """Set a row that was just found."""
        self.values[position] = row
        self.known[position] = True
        self._fresh.append((key, position))

    def copy(self, source: int, position: int) -> None:
        """Give the item at `position` the row of its double."""
        self.values[position] = self.values[source]

    def flush(self) -> None:
        """Put the rows found since the last time in the cache."""
        fresh, self._fresh = self._fresh, []
        if self._cache is not None and fresh:
            self._cache.put_many([key for key, _ in fresh], self._flat[[position for _, position in fresh]])
        give_back(self.values)


class Ledger:
    """The results of n items, of `width` columns each, and `described` columns that need no source (0: nobody asked).

    Attributes:
        rows: the (n, D) float16 features.
        described: the (n, d) float16 descriptors that need no source, or None where nobody asked.
        failures: position -> reason.
        cached: how many items had their row from the cache.
    """

    def __init__(
        self, n: int, width: int, cache: FeatureCache | None, described: int, described_cache: FeatureCache | None
    ) -> None:
        self.rows = Column(zeros(n, width, np.float16), cache)
        plain = np.zeros((n, described), np.float16) if described else None
        self.described = None if plain is None else Column(plain, described_cache)
        self.failures: dict[int, str] = {}
        self.cached = 0
        self._keys: list[bytes | None] = [None] * n
        self._owners: dict[bytes, int] = {}
        self._doubles: dict[int, int] = {}
        self._lock = Lock()
        self._flushed = time.monotonic()

    def recall(self, keys: Sequence[bytes | None]) -> None:
        """Look up all items at once, by the names of their contents as far as these are known."""
        self._keys = list(keys)
        for column in self._columns():
            column.recall(0, keys)
        self.cached = int(self.rows.known.sum())

    def outstanding(self) -> list[int]:
        """Positions of which something is not known."""
        known = np.logical_and.reduce([column.known for column in self._columns()])
        return [int(position) for position in np.flatnonzero(~known)]

    def ask(self, position: int, key: bytes) -> Need:
        """What is needed of an item whose content is `key`: nothing if the cache or another item has it."""
        with self._lock:
            owner = self._owners.setdefault(key, position)
            if owner != position:
                self._doubles[position] = owner
                return Need(row=False, described=False)
        if self._keys[position] != key:
            for column in self._columns():
                column.recall(position, [key])
            with self._lock:
                self._keys[position] = key
                self.cached += int(self.rows.known[position])
        plain = self.described
        return Need(not self.rows.known[position], plain is not None and not plain.known[position])

    def add(self, done: Iterable[Embedded]) -> None:
        """Take in results; every half second what is new goes to the cache."""
        for one in done:
            key = self._keys[one.position] or one.key
            if one.failure:
                self.failures[one.position] = one.failure
            if one.row is not None:
                self.rows.put(one.position, key, one.row)
            if one.described is not None and self.described is not None:
                self.described.put(one.position, key, one.described)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put everything new in the cache."""
        for column in self._columns():
            column.flush()
        self._flushed = time.monotonic()

    def settle(self) -> None:
        """Give doubles what their first got, or its failure; rows of failures become zero."""
        for position, owner in self._doubles.items():
            for column in self._columns():
                column.copy(owner, position)
            if owner in self.failures:
                self.failures[position] = self.failures[owner]
        self.failures = dict(sorted(self.failures.items()))
        for position in self.failures:
            for column in self._columns():
                column.values[position] = 0

    def _columns(self) -> list[Column]:
        return [self.rows] if self.described is None else [self.rows, self.described]
