"""Rows under 32-byte keys in one SQLite file, made for many processes and sudden ends.

Two tables: `keys` is narrow, so ages are read and touched cheaply; `rows` holds the data in the order of arrival. A row
carries a checksum over key and data: SQLite guards its own structure, not what lies inside a cell.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (key BLOB PRIMARY KEY, id INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
"""
# SQLite before 3.32 takes at most 999 parameters a statement.
_CHUNK = 500
# A row's age is kept to the hour: reading need not write.
_TOUCH_AFTER = 3600
_CHECKSUM = 4

_T = TypeVar("_T")


class Store:
    """An open file. Every method may raise sqlite3.Error. Any thread may use it, but one at a time."""

    def __init__(self, path: Path, source: str = "", cost: int = 0, *, wait: float = 30.0) -> None:
        """Open or make `path`.

        Args:
            source: what the rows are of, in words; kept when the file is made, as is `cost`.
            cost: how dear a byte of a row is to compute.
            wait: seconds to wait for another process that writes.
        """
        self.path = path
        self._db = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded only before the first table
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint = 4000")
            with self._transaction():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                about = [("source", source), ("cost", str(cost))]
                self._db.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", about)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file; its log is folded in by the last process that does."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """(key, data) of each distinct key that is there and whole, in the order of arrival. Marks them as used."""
        now = int(time.time())
        found: list[tuple[int, bytes]] = []
        stale: list[tuple[int, bytes]] = []
        for chunk in _chunks(keys):
            marks = ",".join("?" * len(chunk))
            for key, id_, used in self._db.execute(f"SELECT * FROM keys WHERE key IN ({marks})", chunk):  # noqa: S608
                found.append((id_, key))
                if now - used > _TOUCH_AFTER:
                    stale.append((now, key))
        found.sort()
        for part in _chunks(found):
            yield from self._values(dict(part))
        if stale:
            with self._transaction():
                self._db.executemany("UPDATE keys SET used = ? WHERE key = ?", stale)

    def _values(self, keys: dict[int, bytes]) -> Iterator[tuple[bytes, bytes]]:
        marks = ",".join("?" * len(keys))
        for id_, value in self._db.execute(f"SELECT id, value FROM rows WHERE id IN ({marks})", tuple(keys)):  # noqa: S608
            key = keys[id_]
            if isinstance(value, bytes) and _checksum(key, value[:-_CHECKSUM]) == value[-_CHECKSUM:]:
                yield key, value[:-_CHECKSUM]

    def write(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep (key, data) pairs: all of them, or on an error none."""
        pairs = dict(items)
        now = int(time.time())
        with self._transaction():
            ids: dict[bytes, int] = {}
            for chunk in _chunks(list(pairs)):
                marks = ",".join("?" * len(chunk))
                ids.update(self._db.execute(f"SELECT key, id FROM keys WHERE key IN ({marks})", chunk))  # noqa: S608
            (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()
            for key in pairs:
                if key not in ids:
                    last += 1
                    ids[key] = last
            values = ((ids[key], data + _checksum(key, data)) for key, data in pairs.items())
            self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", values)
            self._db.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", ((k, ids[k], now) for k in pairs))

    def source(self) -> str:
        """What the rows are of."""
        return self._about("source")

    def cost(self) -> int:
        """How dear a byte of a row is to compute."""
        found = self._about("cost")
        return int(found) if found.isdecimal() else 0

    def _about(self, name: str) -> str:
        found = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else ""

    def any(self) -> bool:
        """True if it holds a row."""
        return self._db.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None

    def ages(self) -> list[tuple[int, int]]:
        """(second of last use, how many rows), oldest first."""
        return self._db.execute("SELECT used, count(*) FROM keys GROUP BY used ORDER BY used").fetchall()

    def drop(self, used: int, count: int) -> None:
        """Remove at most `count` of the rows last used at `used`."""
        with self._transaction():
            picked = self._db.execute("SELECT id, key FROM keys WHERE used = ? LIMIT ?", (used, count)).fetchall()
            self._db.executemany("DELETE FROM rows WHERE id = ?", ((id_,) for id_, _ in picked))
            self._db.executemany("DELETE FROM keys WHERE key = ?", ((key,) for _, key in picked))

    def shrink(self) -> None:
        """Give the space of removed rows back to the disk."""
        self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would step once: one page
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def destroy(self) -> None:
        """Remove all rows; the file too, unless another process has it open. The Store is closed."""
        try:
            with self._transaction():
                self._db.execute("DELETE FROM rows")
                self._db.execute("DELETE FROM keys")
            self.shrink()
            # SQLite leaves the WAL mode only for a lone user, and then holds the lock until the file is gone.
            self._db.execute("PRAGMA busy_timeout = 0")
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            try:
                self._db.execute("PRAGMA journal_mode = DELETE").fetchall()
                self.path.unlink(missing_ok=True)
            except (sqlite3.OperationalError, OSError):
                return
        finally:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def files_of(path: Path) -> tuple[Path, ...]:
    """The file of a store, its log and its shared memory; the latter two are there while it is in use."""
    return path, Path(f"{path}-wal"), Path(f"{path}-shm")


def _checksum(key: bytes, data: bytes) -> bytes:
    return zlib.crc32(data, zlib.crc32(key)).to_bytes(_CHECKSUM, "big")


def _chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
