"""The feature cache: a source is applied to an item once, ever.

One SQLite file a space, under `paths.features_dir()`. What lies here may be rebuilt, so nothing that goes wrong with it
ends a run: a damaged file is thrown away and begun anew, a full or read-only disk turns the cache off with one line.
HEADSTART_CACHE_BYTES bounds all spaces together; past it the rows that were not used for longest go first.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
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
from headstart.errors import OptionError
from headstart.features.store import Store, files_of

# The bound without HEADSTART_CACHE_BYTES: a tenth of the disk, but no more than this.
DEFAULT_BYTES = 10 * 2**30
_SUFFIX = ".sqlite"
# The bound is looked at each time this many bytes were written; evicting goes a fifth below it, not to be at it often.
_CHECK_EVERY = 64 * 2**20
_KEEP = 0.8


@dataclass(frozen=True)
class Space:
    """Rows that may stand in one matrix.

    Attributes:
        source: what they are of, for people to read.
        identity: whatever changes a value: the source's fingerprint, the preprocessing, the precision.
        width: numbers in a row.
        dtype: of those numbers.
    """

    source: str
    identity: str
    width: int
    dtype: Literal["float16", "uint8"]

    @property
    def name(self) -> str:
        """The name of its file, without the ending: readable, and distinct for distinct spaces."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:16]
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.source)[:60]}-{digest}"


@dataclass(frozen=True)
class SpaceUsage:
    """What one space takes. `last_used` is in seconds since 1970, 0 for an empty or unreadable space."""

    space: str
    source: str
    items: int
    bytes: int
    last_used: int


class FeatureCache:
    """The rows of one space, by key. Never raises over its file; several threads may use one."""

    def __init__(self, space: Space, say: Callable[[str], None]) -> None:
        self._space = space
        self._say = say
        self._path = paths.features_dir() / f"{space.name}{_SUFFIX}"
        self._written = 0
        self._lock = RLock()
        self._store: Store | None = None
        if budget() > 0:
            with self._tolerant():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._store = Store(self._path, space.source)

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
            evict()

    def close(self) -> None:
        """Close the file and keep the cache within its bound."""
        with self._tolerant():
            store, self._store = self._store, None
            if store is not None:
                store.close()
        if self._written:
            self._written = 0
            evict()

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
        if not _is_damage(error):
            self._say(f"feature cache off: {error} ({self._path.parent}; HEADSTART_HOME names another folder)")
            return
        with suppress(sqlite3.Error, OSError):
            _delete(self._path)
            self._store = Store(self._path, self._space.source)
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


def budget() -> int:
    """Bytes that all spaces may take together; 0 turns the cache off.

    Raises:
        OptionError: HEADSTART_CACHE_BYTES is not a whole number.
    """
    given = os.environ.get("HEADSTART_CACHE_BYTES")
    if given:
        try:
            return max(0, int(given))
        except ValueError:
            message = f"HEADSTART_CACHE_BYTES is {given!r}; expected a whole number of bytes (0 turns the cache off)"
            raise OptionError(message) from None
    folder = paths.features_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return min(DEFAULT_BYTES, shutil.disk_usage(folder).total // 10)
    except OSError:
        return DEFAULT_BYTES


def usage() -> list[SpaceUsage]:
    """Every space on disk, largest first."""
    return sorted((_usage(path) for path in _stores()), key=lambda u: (-u.bytes, u.space))


def clear(space: str | None = None) -> int:
    """Remove one space by its name, or all of them; returns the bytes freed.

    Raises:
        OptionError: there is no such space.
    """
    chosen = [path for path in _stores() if space in (None, path.stem)]
    if space is not None and not chosen:
        there = ", ".join(path.stem for path in _stores()) or "none"
        raise OptionError(f"no feature space {space!r} (there are: {there})")
    before = sum(map(_size, chosen))
    for path in chosen:
        try:
            Store(path).destroy()
        except (sqlite3.Error, OSError) as error:
            if _is_damage(error):
                _delete(path)
    return before - sum(map(_size, chosen))


def evict(limit: int | None = None) -> int:
    """Where all spaces take more than `limit` bytes (by default `budget()`), remove the rows not used for longest.

    Returns the bytes freed. A space that another process keeps locked is passed over.
    """
    limit = budget() if limit is None else limit
    sizes = {path: _size(path) for path in _stores()}
    excess = sum(sizes.values()) - limit
    if excess <= 0:
        return 0
    excess += int(limit * (1 - _KEEP))
    groups: list[tuple[int, Path, int]] = []
    for path in sizes:
        with suppress(sqlite3.Error, OSError), _opened(path) as store:
            groups += [(used, path, count) for used, count in store.ages()]
    rows = {path: sum(count for _, other, count in groups if other == path) for path in sizes}
    for used, path, count in sorted(groups):
        if excess <= 0:
            break
        each = max(1, sizes[path] // rows[path])
        dropped = min(count, -(-excess // each))
        excess -= dropped * each
        with suppress(sqlite3.Error, OSError), _opened(path) as store:
            store.drop(used, dropped)
    for path in sizes:
        with suppress(sqlite3.Error, OSError), _opened(path) as store:
            store.shrink()
    return sum(sizes.values()) - sum(map(_size, sizes))


def _opened(path: Path) -> Store:
    return Store(path, wait=2.0)


def _stores() -> list[Path]:
    return sorted(paths.features_dir().glob(f"*{_SUFFIX}"))


def _usage(path: Path) -> SpaceUsage:
    try:
        with _opened(path) as store:
            ages, source = store.ages(), store.source()
    except (sqlite3.Error, OSError):
        ages, source = [], "(unreadable)"
    items, last = sum(count for _, count in ages), max((used for used, _ in ages), default=0)
    return SpaceUsage(path.stem, source, items, _size(path), last)


def _size(path: Path) -> int:
    total = 0
    for part in files_of(path):
        with suppress(OSError):
            total += part.stat().st_size
    return total


def _delete(path: Path) -> None:
    for part in files_of(path):
        part.unlink(missing_ok=True)


def _is_damage(error: Exception) -> bool:
    # SQLite reports a malformed file as DatabaseError itself, or as rows that contradict an index. Locks, full disks
    # and permissions are OperationalErrors.
    return type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError)
