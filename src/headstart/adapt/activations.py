"""What a frozen trunk said of items, kept on disk: computed once an item and view, read back memory-mapped.

One folder a space (a source, a cut, a precision), one safetensors file a segment of rows, written whole and then
renamed: after a kill at any time a segment is there or it is not. Rows have 32-byte keys, made of the item and the
view, so that whichever items a training asks for, and in whichever process, what was computed before is found. What
lies here may be rebuilt: a damaged file counts as not there, a full disk leaves rows in memory, and past the bound of
HEADSTART_CACHE_BYTES, which all caches share, what was not used for longest goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.whole_file import refusal, save_whole
from headstart.errors import StorageError
from headstart.features.bound import activation_pieces, activations_dir, budget, is_half_written, make_room

KEY_BYTES = 32
_SUFFIX = ".safetensors"
_ABANDONED = 3600.0  # seconds after which a half-written file belongs to nobody
_MOST_HELD = 1_000_000_000  # bytes of rows that stay in memory where the disk does not take them

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Segment:
    """Some rows: of one shape, or of a first axis that varies, then laid end to end."""

    path: Path | None
    rows: Array
    starts: NDArray[np.int64] | None  # (n + 1,) where the first axis varies

    def row(self, index: int) -> Array:
        return self.rows[index] if self.starts is None else self.rows[self.starts[index] : self.starts[index + 1]]


class Activations:
    """The rows of one space. One thread at a time may put; several may take.

    Attributes:
        trouble: why new rows stay in memory; empty where they do not.
    """

    def __init__(self, identity: str) -> None:
        """`identity` is all that decides a row beside its key: source, cut, precision, how items are prepared."""
        self._folder = activations_dir() / hashlib.sha256(identity.encode()).hexdigest()[:32]
        self._identity = identity
        self._where: dict[bytes, tuple[_Segment, int]] = {}
        self._seen: set[str] = set()
        self._used: set[str] = set()
        self._held = 0
        self.trouble = "" if budget() > 0 else "HEADSTART_CACHE_BYTES is 0"
        self._look()

    def __contains__(self, key: bytes) -> bool:
        """True where there is a row, as far as was looked."""
        return key in self._where

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Positions of the keys that have no row; what other processes wrote meanwhile is found."""
        if any(key not in self._where for key in keys):
            self._look()
        used = {self._where[key][0].path for key in keys if key in self._where}
        for path in used:
            if path is not None and path.name not in self._used:
                self._used.add(path.name)
                with suppress(OSError):
                    os.utime(path)
        return [position for position, key in enumerate(keys) if key not in self._where]

    def take(self, keys: Sequence[bytes]) -> list[Array]:
        """The rows of keys that are there, each an array, memory-mapped where it lies on disk."""
        return [segment.row(index) for segment, index in (self._where[key] for key in keys)]

    def put(self, keys: Sequence[bytes], rows: Sequence[Array]) -> None:
        """Keep rows of one dtype that differ in their first axis at most, as one segment.

        Raises:
            StorageError: neither disk nor memory have room for them.
        """
        if not keys:
            return
        starts = None
        if len({row.shape for row in rows}) > 1:
            starts = np.cumsum([0] + [len(row) for row in rows])
        values = np.stack(rows) if starts is None else np.concatenate(rows)
        segment = self._write(keys, values, starts)
        if segment is None:
            segment = _Segment(None, values, starts)
            self._held += values.nbytes
            if self._held > _MOST_HELD:
                raise StorageError(
                    f"activations do not fit: {self.trouble}, and memory is to hold {_MOST_HELD / 1e9:.0f} GB at most; "
                    "free disk space, raise HEADSTART_CACHE_BYTES, or choose a strategy that trains less"
                )
        self._where.update((key, (segment, index)) for index, key in enumerate(keys))

    def _look(self) -> None:
        """Open the segments that are new."""
        with suppress(OSError):
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                if path.name not in self._seen:
                    self._seen.add(path.name)
                    self._open(path)

    def _open(self, path: Path) -> _Segment | None:
        try:
            parts = _mapped(path)
            keys, rows, starts = parts["keys"], parts["rows"], parts.get("starts")
            if keys.shape[1:] != (KEY_BYTES,) or len(keys) != (len(rows) if starts is None else len(starts) - 1):
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError):
            with suppress(OSError):
                path.unlink()
            return None
        segment = _Segment(path, rows, None if starts is None else np.array(starts))
        names = np.array(keys).tobytes()
        for index in range(len(keys)):
            self._where[names[KEY_BYTES * index : KEY_BYTES * (index + 1)]] = segment, index
        return segment

    def _write(self, keys: Sequence[bytes], rows: Array, starts: NDArray[np.int64] | None) -> _Segment | None:
        """The segment as it lies on disk; None where the disk does not take it."""
        if self.trouble:
            return None
        path = self._folder / (uuid.uuid4().hex + _SUFFIX)
        arrays = {"keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES), "rows": rows}
        arrays |= {} if starts is None else {"starts": starts}
        try:
            _sweep()
            if not make_room(rows.nbytes, spare=lambda path: path.name in self._used):
                self.trouble = f"more than the {budget() / 1e9:.1f} GB that HEADSTART_CACHE_BYTES allows"
                return None
            save_whole(arrays, path, {"of": self._identity[:500]})
        except (OSError, StorageError) as error:
            self.trouble = refusal(error)
            return None
        self._seen.add(path.name)
        self._used.add(path.name)
        return self._open(path)


def item_keys(rows: Array, view: int, positions: Sequence[int] | NDArray[np.int64]) -> list[bytes]:
    """The keys of some items in a view.

    Args:
        rows: (n, D) the items' frozen features: all depths, so that they stand for the item itself.
        view: 0 for the item as it is.
        positions: of the items.
    """
    head = view.to_bytes(4, "big")
    return [hashlib.sha256(head + np.ascontiguousarray(rows[p]).tobytes()).digest() for p in positions]


@dataclass(frozen=True)
class ActivationsUsage:
    """What activations take: spaces, the files in them, their bytes, and when one was last used (0 for none)."""

    spaces: int
    segments: int
    bytes: int
    last_used: float


def usage() -> ActivationsUsage:
    """All activations on disk."""
    found = list(activation_pieces())
    return ActivationsUsage(
        spaces=len({piece.path.parent for piece in found}),
        segments=len(found),
        bytes=sum(piece.bytes for piece in found),
        last_used=max((piece.used for piece in found), default=0.0),
    )


def clear() -> int:
    """Remove all of them; the bytes freed. What a training has open stays readable to it."""
    _sweep()
    return sum(piece.drop(piece.bytes) for piece in activation_pieces())


def _sweep() -> None:
    """Remove what killed processes left half-written."""
    for path in filter(is_half_written, activations_dir().glob("*/*")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


_DTYPES = {"U8": np.uint8, "F16": np.float16, "F32": np.float32, "I64": np.int64}


def _mapped(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file, memory-mapped; ValueError where it is damaged.

    The format: 8 bytes of length, a JSON header with dtype, shape and offsets, then the data.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(size, 1_000_000):
            raise ValueError(f"{path} is damaged")
        header = json.loads(file.read(length))
    found: dict[str, Array] = {}
    for name, one in header.items():
        if name == "__metadata__":
            continue
        begin, end = one["data_offsets"]
        dtype, shape = np.dtype(_DTYPES[one["dtype"]]), tuple(one["shape"])
        if int(np.prod(shape)) * dtype.itemsize != end - begin or 8 + length + end > size:
            raise ValueError(f"{path} is damaged")
        found[name] = np.memmap(path, dtype, "r", 8 + length + begin, shape) if end > begin else np.empty(shape, dtype)
    return found
