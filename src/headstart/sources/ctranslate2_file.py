"""Weights out of a CTranslate2 `model.bin`, and into one: the inverse. No CTranslate2 is needed.

The layout is that of binary version 6 (ctranslate2/specs/model_spec.py), all numbers little-endian:

    uint32 version, string spec, uint32 revision
    uint32 count, then for each variable: string name, uint8 rank, uint32 dims[rank], uint8 type, uint32 bytes, data
    uint32 count, then for each alias: string alias, string name

where a string is a uint16 length, its bytes and a final NUL, which the length counts. Of rank 0: one number.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import SourceError

VERSION = 6
_TYPES: dict[int, np.dtype[Any]] = dict(enumerate(map(np.dtype, ("<f4", "i1", "<i2", "<i4", "<f2"))))
_CODES = {dtype: code for code, dtype in _TYPES.items()}
_MOST_VARIABLES, _MOST_DIMS, _LONGEST_NAME = 1 << 16, 8, 1000
_MOST_BYTES = (1 << 32) - 1  # of one variable: its size is a uint32


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a `model.bin` holds.

    Attributes:
        spec: the kind of model, "WhisperSpec".
        revision: of the spec.
        variables: name -> float32, float16, int32, int16 or int8 of any shape, in the file's order.
        aliases: another name -> the variable that it stands for.
    """

    spec: str
    revision: int
    variables: dict[str, NDArray[Any]]
    aliases: dict[str, str] = field(default_factory=dict)

    def resolved(self) -> dict[str, NDArray[Any]]:
        """The variables under all of their names; those of one variable share its memory."""
        return self.variables | {alias: self.variables[name] for alias, name in self.aliases.items()}


def read(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The variables of a `model.bin` under all of their names, as `parse` and `resolved` give them.

    Raises:
        SourceError: as `parse`.
    """
    return parse(data, where).resolved()


def parse(data: bytes, where: str) -> ModelFile:
    """The contents of a `model.bin`; the arrays are read-only views of `data`.

    Args:
        where: the file, for messages.

    Raises:
        SourceError: another version, a length that passes the end, an unknown type, a size that does not fit its
            shape, a name twice, an alias of nothing, or bytes left over.
    """
    reader = _Reader(data, where)
    version = reader.number("<I")
    if version != VERSION:
        raise SourceError(f"{where} is not a CTranslate2 model of binary version {VERSION}: it starts with {version}")
    spec, revision = reader.string(), reader.number("<I")
    variables: dict[str, NDArray[Any]] = {}
    for _ in range(reader.count("variables")):
        name = reader.string()
        if name in variables:
            raise reader.wrong(f"the variable {name!r} is there twice")
        variables[name] = reader.variable(name)
    aliases: dict[str, str] = {}
    for _ in range(reader.count("aliases")):
        alias, name = reader.string(), reader.string()
        if alias in variables or alias in aliases or name not in variables:
            raise reader.wrong(f"the alias {alias!r} of {name!r} is there twice, or stands for nothing")
        aliases[alias] = name
    if reader.left:
        raise reader.wrong(f"{reader.left:,} bytes follow its end")
    return ModelFile(spec, revision, variables, aliases)


def write(model: ModelFile) -> bytes:
    """The bytes of a `model.bin`: `parse` gives `model` back, and what `parse` gave is written as it was read.

    Raises:
        SourceError: a type that the format does not have, a value over 4 GiB, a name that is too long or stands for
            nothing.
    """
    parts = [struct.pack("<I", VERSION), _string(model.spec), struct.pack("<I", model.revision)]
    parts.append(struct.pack("<I", len(model.variables)))
    for name, array in model.variables.items():
        parts += [_string(name), *_packed(name, array)]
    parts.append(struct.pack("<I", len(model.aliases)))
    for alias, name in model.aliases.items():
        if name not in model.variables or alias in model.variables:
            raise SourceError(f"the alias {alias!r} stands for {name!r}, which is no variable, or hides one")
        parts += [_string(alias), _string(name)]
    return b"".join(parts)


class _Reader:
    """Takes one value after another; none reaches past the end."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data = data
        self._where = where
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def wrong(self, reason: str) -> SourceError:
        return SourceError(f"{self._where} is damaged: {reason} (at byte {self._at:,}); get the file again")

    def take(self, size: int) -> int:
        """Where the next `size` bytes start, which count as read."""
        if size > self.left:
            raise self.wrong(f"it ends {size - self.left:,} bytes too early")
        self._at += size
        return self._at - size

    def number(self, form: str) -> int:
        start = self.take(struct.calcsize(form))
        value: int = struct.unpack_from(form, self._data, start)[0]
        return value

    def count(self, what: str) -> int:
        count = self.number("<I")
        if count > _MOST_VARIABLES:
            raise self.wrong(f"it says to have {count:,} {what}; at most {_MOST_VARIABLES:,} are read")
        return count

    def string(self) -> str:
        size = self.number("<H")
        if not 1 <= size <= _LONGEST_NAME + 1:
            raise self.wrong(f"a name has {size:,} bytes, not 1 to {_LONGEST_NAME + 1:,}")
        start = self.take(size)
        try:
            text = self._data[start : start + size].decode()
        except UnicodeDecodeError:
            raise self.wrong("a name is not UTF-8") from None
        if text.find("\0") != len(text) - 1:
            raise self.wrong("a name does not end where its length says")
        return text[:-1]

    def variable(self, name: str) -> NDArray[Any]:
        rank = self.number("<B")
        if rank > _MOST_DIMS:
            raise self.wrong(f"{name} has {rank} dimensions; at most {_MOST_DIMS} are read")
        shape = tuple(self.number("<I") for _ in range(rank))
        code, size = self.number("<B"), self.number("<I")
        dtype = _TYPES.get(code)
        if dtype is None:
            known = ", ".join(f"{k} {kind.name}" for k, kind in _TYPES.items())
            raise self.wrong(f"{name} has the type {code}; known are {known}")
        if math.prod(shape) * dtype.itemsize != size:
            raise self.wrong(f"{name} has {size:,} bytes, which is not {dtype.name} of shape {shape}")
        start = self.take(size)
        return np.frombuffer(self._data, dtype, math.prod(shape), start).reshape(shape)


def _string(text: str) -> bytes:
    encoded = text.encode() + b"\0"
    if len(encoded) > _LONGEST_NAME + 1 or b"\0" in encoded[:-1]:
        raise SourceError(
            f"{text[:60]!r} cannot be a name in a CTranslate2 model: up to {_LONGEST_NAME:,} bytes, no NUL"
        )
    return struct.pack("<H", len(encoded)) + encoded


def _packed(name: str, array: NDArray[Any]) -> tuple[bytes, bytes]:
    """Rank, dims, type and size of a variable; its data."""
    dtype = array.dtype.newbyteorder("<")
    code = _CODES.get(dtype)
    if code is None or array.nbytes > _MOST_BYTES or array.ndim > _MOST_DIMS:
        raise SourceError(f"{name} is {array.dtype} {array.shape}, which a CTranslate2 model cannot hold")
    head = struct.pack(f"<B{array.ndim}IBI", array.ndim, *array.shape, code, array.nbytes)
    return head, array.astype(dtype, copy=False).tobytes()
