"""The files of feature spaces, seen from outside: what they take, and how rows of them go."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headstart import paths
from headstart.errors import OptionError
from headstart.features.store import Store, files_of

SUFFIX = ".sqlite"


@dataclass(frozen=True)
class SpaceUsage:
    """What one space takes. `last_used` is in seconds since 1970, 0 for an empty or unreadable space."""

    space: str
    source: str
    items: int
    bytes: int
    last_used: int


@dataclass(frozen=True, eq=False)
class Piece:
    """Something on disk that was used as a whole and may go.

    Attributes:
        path: where it is; other pieces may be in the same file.
        used: seconds since 1970.
        bytes: that it takes.
        drop: removes as much of it as it takes to free so many bytes, and tells how many it freed, about.
        cost: how dear a byte is to have again, among pieces of one kind.
    """

    path: Path
    used: float
    bytes: int
    drop: Callable[[int], int]
    cost: int = 0


def usage() -> list[SpaceUsage]:
    """Every space on disk, largest first."""
    return sorted((_usage(path) for path in stores()), key=lambda u: (-u.bytes, u.space))


def clear(space: str | None = None) -> int:
    """Remove one space by its name, or all of them; returns the bytes freed.

    Raises:
        OptionError: there is no such space.
    """
    chosen = [path for path in stores() if space in (None, path.stem)]
    if space is not None and not chosen:
        there = ", ".join(path.stem for path in stores()) or "none"
        raise OptionError(f"no feature space {space!r} (there are: {there})")
    before = sum(map(size, chosen))
    for path in chosen:
        try:
            Store(path).destroy()
        except (sqlite3.Error, OSError) as error:
            if is_damage(error):
                delete(path)
    return before - sum(map(size, chosen))


def pieces() -> Iterator[Piece]:
    """The rows of every space, those together that were used in one second; locked spaces are passed over."""
    for path in stores():
        ages: list[tuple[int, int]] = []
        cost = 0
        with suppress(sqlite3.Error, OSError), _opened(path) as store:
            ages, cost = store.ages(), store.cost()
        each = max(1, size(path) // max(1, sum(count for _, count in ages)))
        for used, count in ages:
            yield Piece(path, used, each * count, partial(_drop, path, used, count, each), cost)


def shrink() -> None:
    """Give the space of dropped rows back to the disk."""
    for path in stores():
        with suppress(sqlite3.Error, OSError), _opened(path) as store:
            store.shrink()


def stores() -> list[Path]:
    """The file of every space."""
    return sorted(paths.features_dir().glob(f"*{SUFFIX}"))


def size(path: Path) -> int:
    """Bytes of a space's files."""
    total = 0
    for part in files_of(path):
        with suppress(OSError):
            total += part.stat().st_size
    return total


def delete(path: Path) -> None:
    """Remove a space's files, whatever is in them."""
    for part in files_of(path):
        part.unlink(missing_ok=True)


def is_damage(error: Exception) -> bool:
    """True where the file is to blame, not its surroundings."""
    # SQLite reports a malformed file as DatabaseError itself, or as rows that contradict an index. Locks, full disks
    # and permissions are OperationalErrors.
    return type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError)


def _drop(path: Path, used: int, count: int, each: int, wanted: int) -> int:
    dropped = min(count, -(-wanted // each))
    with suppress(sqlite3.Error, OSError), _opened(path) as store:
        store.drop(used, dropped)
        return dropped * each
    return 0


def _opened(path: Path) -> Store:
    return Store(path, wait=2.0)


def _usage(path: Path) -> SpaceUsage:
    try:
        with _opened(path) as store:
            ages, source = store.ages(), store.source()
    except (sqlite3.Error, OSError):
        ages, source = [], "(unreadable)"
    items, last = sum(count for _, count in ages), max((used for used, _ in ages), default=0)
    return SpaceUsage(path.stem, source, items, size(path), last)
