"""One bound for all that is kept to be found again: cached features, activations, and what trainings gave.

HEADSTART_CACHE_BYTES bounds the three together. Past it, what was not used for longest goes first, whatever its kind;
of what was used in the same hour, activations go before features and those before trainings: a byte of them is had
again in the least time. Among features those go first whose bytes cost least: descriptors, then small sources'.

Nothing that runs depends on any of it, so that it may go at any moment, and in any process.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from headstart import paths
from headstart.errors import OptionError
from headstart.features import spaces
from headstart.features.spaces import Piece

# The bound without HEADSTART_CACHE_BYTES: a tenth of the disk, but no more than this.
DEFAULT_BYTES = 10 * 2**30
# Making room goes a fifth below the bound, not to be at it often.
_KEEP = 0.8
_HOUR = 3600.0  # ages are known to the hour: reading a row again within one does not write
# A folder of trainings that was written to so lately may be in use.
_IN_USE_SECONDS = 3600.0


def budget() -> int:
    """Bytes that features, activations and trainings may take together; 0 keeps none.

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


def activations_dir() -> Path:
    """What frozen trunks said, a folder a space (see `adapt.activations`)."""
    return paths.home() / "activations"


def held() -> int:
    """Bytes of all three kinds on disk."""
    found = sum(piece.bytes for piece in [*activation_pieces(), *training_pieces()])
    return found + sum(map(spaces.size, spaces.stores()))


def make_room(size: int = 0, *, limit: int | None = None, spare: Callable[[Path], bool] = lambda path: False) -> bool:
    """Have what is kept, and `size` bytes more, take no more than `limit`; what was not used for longest goes.

    Args:
        limit: bytes; by default `budget()`.
        spare: True for files of activations and folders of trainings that stay whatever they take.

    Returns:
        whether it fits. What another process keeps locked stays. A limit of 0 keeps nothing new, and removes nothing.
    """
    limit = budget() if limit is None else limit
    if limit <= 0:
        return False
    excess = held() + size - limit
    if excess <= 0:
        return True
    excess += int(limit * (1 - _KEEP))
    now = time.time()
    kinds = enumerate((activation_pieces(), spaces.pieces(), training_pieces(idle=_IN_USE_SECONDS)))
    found = [(-int((now - piece.used) // _HOUR), kind, piece) for kind, pieces in kinds for piece in pieces]
    for _, _, piece in sorted(found, key=lambda one: (*one[:2], one[2].cost, one[2].used, str(one[2].path))):
        if excess <= 0:
            break
        if not spare(piece.path):
            excess -= piece.drop(excess)
    spaces.shrink()
    return held() + size <= limit


def activation_pieces() -> Iterator[Piece]:
    """Each segment of activations on disk."""
    for path in activations_dir().glob("*/*.safetensors"):
        with suppress(OSError):
            found = path.stat()
            yield Piece(path, found.st_mtime, found.st_size, partial(_unlink, path, found.st_size))


def training_pieces(*, idle: float = 0.0) -> Iterator[Piece]:
    """Each folder of trainings that has a file and was not written to in the last `idle` seconds."""
    with suppress(OSError):
        for folder in sorted(paths.trainings_dir().iterdir()):
            files = list(_files(folder))
            used = max((when for _, _, when in files), default=0.0)
            if files and time.time() - used >= idle:
                yield Piece(folder, used, sum(size for _, size, _ in files), partial(_empty, folder))


def _files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """Path, bytes, and time of the last write of each file, at any depth."""
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process took it away
            if path.is_file():
                found = path.stat()
                yield path, found.st_size, found.st_mtime


def is_half_written(path: Path) -> bool:
    """True for a file that has not got its name yet; safetensors writes under one of its own, ".tmp" and letters."""
    return path.suffix == ".part" or path.name.startswith(".tmp")


def _unlink(path: Path, size: int, wanted: int = 0) -> int:
    with suppress(OSError):
        path.unlink()
        return size
    return 0


def _empty(folder: Path, wanted: int = 0) -> int:
    """Remove a folder's files; and itself, unless a training that runs may be about to write there."""
    now, freed, lately = time.time(), 0, False
    for path, size, when in _files(folder):
        fresh = now - when < _IN_USE_SECONDS
        lately |= fresh
        if not (fresh and is_half_written(path)):  # its writer renames it in a moment
            freed += _unlink(path, size)
    if not lately:
        shutil.rmtree(folder, ignore_errors=True)
    return freed
