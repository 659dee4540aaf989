"""Exported sources on disk: what they take, and how they go while other processes may be reading them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import SourceError
from headstart.paths import sources_dir
from headstart.sources.base import SOURCE_FILE
from headstart.sources.record import source_from_directory

try:
    import fcntl
except ImportError:  # Windows, which itself refuses to remove files that are open
    fcntl = None  # type: ignore[assignment]

UNFINISHED = ".exporting-"
_held: dict[Path, int] = {}  # what this process reads -> the handle that holds it, until the process ends


@dataclass(frozen=True)
class ExportedUsage:
    """What one exported source takes.

    Attributes:
        directory: its folder's name.
        source: its own name.
        last_used: when a process opened it, in seconds since 1970.
    """

    directory: str
    source: str
    bytes: int
    last_used: float


@dataclass(frozen=True)
class Cleared:
    """What clearing freed, in bytes, and the folders that a running process uses: they stay."""

    bytes: int
    in_use: tuple[str, ...]


def hold(directory: Path) -> None:
    """Keep an exported source from being cleared while this process lives."""
    if fcntl is None or directory in _held:
        return
    with suppress(OSError):  # not there yet, or a disk without locks
        handle = os.open(directory, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_SH)
        _held[directory] = handle
        os.utime(directory)


def usage() -> list[ExportedUsage]:
    """Every exported source, largest first."""
    found = [ExportedUsage(folder.name, _name(folder), _size(folder), folder.stat().st_mtime) for folder in _folders()]
    return sorted(found, key=lambda one: (-one.bytes, one.directory))


def clear(directory: str | None = None) -> Cleared:
    """Remove one exported source by its folder's name, or all; they are exported again when they are needed."""
    freed, in_use = 0, []
    for folder in _folders():
        if directory not in (None, folder.name):
            continue
        with _alone(folder) as alone:
            if not alone:
                in_use.append(folder.name)
                continue
            size = _size(folder)
            with suppress(OSError), tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder.parent) as scratch:
                folder.rename(Path(scratch) / folder.name)  # at once, so that nobody opens half of it
                freed += size
    return Cleared(freed, tuple(in_use))


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no process holds `folder`; while it is true none can."""
    if fcntl is None:
        yield True
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _folders() -> list[Path]:
    try:
        return sorted(path for path in sources_dir().iterdir() if (path / SOURCE_FILE).is_file())
    except OSError:
        return []


def _name(folder: Path) -> str:
    try:
        return source_from_directory(folder).name
    except SourceError:
        return "(damaged)"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
