"""Arrays larger than memory should hold: backed by a file without a name, resident only where they are in use."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart import paths

# Bytes above which an array lies in a file. Smaller ones are not worth it.
LARGE = 200_000_000
# Bytes of it that are touched before they are given back.
STEP = 32_000_000


def zeros(n: int, width: int, dtype: Any) -> NDArray[Any]:
    """An array (n, width) of zeros; if it is LARGE and the disk has room, in a file that goes with the array."""
    size = n * width * np.dtype(dtype).itemsize
    pages = _pages(size) if size > LARGE else None
    return np.zeros((n, width), dtype) if pages is None else np.frombuffer(pages, dtype).reshape(n, width)


def in_file(array: NDArray[Any]) -> bool:
    """True if it is an array in a file, or a view of one."""
    return _mapping(array) is not None


def give_back(array: NDArray[Any]) -> None:
    """Let go of the memory of an array in a file, whose values stay. Of any other array: nothing happens."""
    pages = _mapping(array)
    if pages is not None:
        # Of a shared mapping the system keeps what was written, and writes it to the file in its own time.
        pages.madvise(mmap.MADV_DONTNEED)


def step(width: int, dtype: Any) -> int:
    """How many rows to touch before `give_back`."""
    row = width * int(np.dtype(dtype).itemsize)
    return max(1, STEP // max(1, row))


def _pages(size: int) -> mmap.mmap | None:
    """A file of `size` bytes as memory; None where the system or the disk does not give it."""
    if not (hasattr(os, "posix_fallocate") and hasattr(mmap, "MADV_DONTNEED")):
        return None
    try:
        folder = paths.features_dir()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # Without its blocks a full disk would be found out by a signal that ends the process.
            os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError:
        return None


def _mapping(array: Any) -> mmap.mmap | None:
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return array if isinstance(array, mmap.mmap) else None
