"""The feature cache: a source is applied to an item once, ever.

One SQLite file a space, under `paths.features_dir()`. What lies here may be rebuilt, so nothing that goes wrong with it
ends a run: a damaged file is thrown away and begun anew, a full or read-only disk turns the cache off with one line.
It shares the bound of HEADSTART_CACHE_BYTES with all else that is kept (see `bound`).
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart import paths
from headstart.features.bound import budget, make_room
from headstart.features.spaces import SUFFIX, delete, is_damage
from headstart.features.store import Store

__all__ = ["FeatureCache", "Space", "budget", "open_cache"]

# The bound is looked at each time this many bytes were written.
_CHECK_EVERY = 64 * 2**20


@dataclass(frozen=True)
class Space:
    """Rows that may stand in one matrix.

    Attributes:
        source: what they are of, for people to read; the same rows may be known by several names.
        identity: whatever changes a value: the source's fingerprint, the preprocessing, the precision.
        width: numbers in a row.
        dtype: of those numbers.
        cost: how dear a byte of a row is to compute; of rows last used in the same hour the cheapest go first.
    """

    source: str
    identity: str
    width: int
    dtype: Literal["float16", "uint8"]
    cost: int = 0

    @property
    def name(self) -> str:
        """The name of its file, without the ending: readable, and distinct for distinct rows."""
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.source)[:60]}-{self._digest}"

    @property
    def path(self) -> Path:
        """Its file: the one that is there under any name, or the one to make."""
        there = sorted(paths.features_dir().glob(f"*-{self._digest}{SUFFIX}"))
        return there[0] if there else paths.features_dir() / f"{self.name}{SUFFIX}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(f"{self.identity}\n{self.width} {self.dtype}".encode()).hexdigest()[:16]


class FeatureCache:
    """The rows of one space, by key. Never raises over its file; several threads may use one."""

    def __init__(self, space: Space, say: Callable[[str], None]) -> None:
        self._space = space
        self._say = say
        self._path = space.path
        self._written = 0
        self._lock = RLock()
        self._store: Store | None = None
        if budget() > 0:
            with self._tolerant():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._store = Store(self._path, space.source, space.cost)

    @property
    def active(self) -> bool:
        """False where the cache is off: turned off, or out of order."""
        return self._store is not None

    def any(self) -> bool:
        """True if it holds a row."""
        found = False
        with self._tolerant():
            found = self._store is not None and self._store.any()
        return bool(found)

    def get_many(self, keys: Sequence[bytes | None], out: NDArray[Any]) -> NDArray[np.bool_]:
        """Fill in the rows that are known.

        Args:
            keys: n keys of 32 bytes, repeats allowed, None for none.
            out: (n, width) of the space's dtype; row i is written where key i is known.

        Returns:
            (n,) bool: which rows were written.
        """
        positions: dict[bytes, list[int]] = {}
        for position, key in enumerate(keys):
            if key is not None:
                positions.setdefault(key, []).append(position)
        hits = np.zeros(len(keys), bool)
        size = self._space.width * np.dtype(self._space.dtype).itemsize
        with self._tolerant():
            if self._store is not None:
                for key, data in self._store.read(list(positions)):
                    if len(data) == size:
                        row = np.frombuffer(data, self._space.dtype)
                        for position in positions[key]:
                            out[position] = row
                            hits[position] = True
        return hits

    def put_many(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Keep rows (n, width) of the space's dtype under n keys: all of them, or none."""
        with self._tolerant():
            if self._store is not None and len(keys):
                self._store.write((key, row.tobytes()) for key, row in zip(keys, rows, strict=True))
                self._written += rows.nbytes
        if self._written > _CHECK_EVERY:
            self._written = 0
            make_room()

    def close(self) -> None:
        """Close the file and keep the cache within its bound."""
        with self._tolerant():
            store, self._store = self._store, None
            if store is not None:
                store.close()
        if self._written:
            self._written = 0
            make_room()

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """One thread at a time; where SQLite or the disk fails, the run goes on with a new file or without."""
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                self._recover(error)

    def _recover(self, error: Exception) -> None:
        if self._store is not None:
            with suppress(sqlite3.Error):
                self._store.close()
            self._store = None
        if not is_damage(error):
            self._say(f"feature cache off: {error} ({self._path.parent}; HEADSTART_HOME names another folder)")
            return
        with suppress(sqlite3.Error, OSError):
            delete(self._path)
            self._store = Store(self._path, self._space.source, self._space.cost)
        again = "begun anew" if self._store is not None else "off"
        self._say(f"feature cache {again}: {self._path.name} was damaged ({error})")


def open_cache(space: Space, *, say: Callable[[str], None] = lambda line: None) -> FeatureCache:
    """The cache of a space, made where it is new. To be closed, or used in a `with`.

    Args:
        say: told, in one line, when the cache has to do without its file.

    Raises:
        OptionError: HEADSTART_CACHE_BYTES is not a number.
    """
    return FeatureCache(space, say)
