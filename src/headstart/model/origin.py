"""The file that a model was loaded from: its bytes stay at hand though another file takes its name."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path

from headstart.archive.container import is_odd
from headstart.errors import StorageError

_BLOCK = 1 << 20


class Origin:
    """A file held open, so that replacing or deleting it does not lose what the model was loaded from.

    Windows does not replace a file that is open: there it is opened when it is needed, and must be the same still.

    Attributes:
        path: its name when it was loaded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = _open(path)
        self._stamp = _stamp(descriptor)
        self._held: int | None = None
        if os.name == "nt":
            os.close(descriptor)
        else:
            self._held = descriptor
            weakref.finalize(self, os.close, descriptor)

    def blocks(self) -> Iterator[bytes]:
        """The file, part after part.

        Raises:
            StorageError: it was changed or deleted in place since.
        """
        descriptor = _open(self.path) if self._held is None else self._held
        try:
            if _stamp(descriptor) != self._stamp:
                raise StorageError(f"{self.path} was changed since the model was loaded from it: load it again")
            position = 0
            while block := _read(descriptor, position):
                yield block
                position += len(block)
        finally:
            if self._held is None:
                os.close(descriptor)

    def copy(self, goal: Path) -> Path:
        """Write the file's bytes to `goal`, whole or not at all.

        Raises:
            StorageError: the disk is full, the folder cannot be written, or there is a device or a pipe.
        """
        if is_odd(goal):
            raise StorageError(f"{goal} is neither a file nor free: choose another place")
        partial = goal.with_name(f".{goal.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                file.writelines(self.blocks())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, goal)
        except OSError as error:
            raise StorageError(
                f"{goal} cannot be written ({error.strerror}): free some room or choose another place"
            ) from None
        finally:
            partial.unlink(missing_ok=True)
        return goal


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise StorageError(f"{path}, which the model was loaded from, cannot be read ({error.strerror})") from None


def _stamp(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(descriptor: int, position: int) -> bytes:
    if hasattr(os, "pread"):  # leaves other threads their place in the file
        return os.pread(descriptor, _BLOCK, position)
    os.lseek(descriptor, position, os.SEEK_SET)
    return os.read(descriptor, _BLOCK)
