"""Where the parts lie in a .headstart file: the strict subset of the zip format that headstart writes and reads.

A file is, with no gap and nothing before or after:

    per part      30-byte local header, name, the bytes as they are (stored, never compressed)
    directory     46 bytes and the name for each part, in the same order
    end record    22 bytes

Any zip program can list and unpack it. The reverse does not hold: what this subset cannot say (compression, encryption,
zip64, comments, extra fields, links, overlapping parts) is refused, so that no reader can be led to see other bytes
than these. The format: PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import re
import stat
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from headstart.errors import ArtefactError

MAX_MEMBERS = 64
MAX_NAME = 200
MAX_FILE_BYTES = 2**31 - 1  # what every zip program addresses without extensions; one ONNX graph holds no more either
SUFFIXES = (".json", ".onnx", ".safetensors", ".txt")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_UTF8_NAMES = 0x800


@dataclass(frozen=True)
class Member:
    """One part: `size` bytes from `offset` on, with their CRC-32."""

    name: str
    offset: int
    size: int
    crc: int


def check_name(name: str) -> None:
    """Refuse a part's name that is not a plain relative path of an allowed kind.

    Raises:
        ArtefactError: an absolute path, "..", a backslash, a drive, a control character, an unknown extension.
    """
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ArtefactError(f"it names a part {name[:MAX_NAME]!r}, which is not a plain relative path")
    if PurePosixPath(name).suffix not in SUFFIXES:
        raise ArtefactError(f"it holds {name!r}, and only {', '.join(SUFFIXES)} belong in a model file")


def read_members(file: BinaryIO) -> dict[str, Member]:
    """The parts of an opened file, in their order; only headers are read.

    Raises:
        ArtefactError: the file is not laid out as above.
    """
    size = file.seek(0, 2)
    if size > MAX_FILE_BYTES:
        raise ArtefactError(f"it has {size:,} bytes, and at most {MAX_FILE_BYTES:,} are read")
    if _read(file, 0, min(4, size)) != b"PK\x03\x04":
        raise ArtefactError("it does not begin as a .headstart file does")
    count, directory = _end_record(file, size)
    members: dict[str, Member] = {}
    seen: set[str] = set()
    entry_at, data_end = directory, 0
    for _ in range(count):
        member, entry_at = _entry(file, entry_at, data_end, size)
        check_name(member.name)
        if member.name.lower() in seen:  # on many disks two names that differ in case are one file
            raise ArtefactError(f"it holds {member.name!r} twice")
        seen.add(member.name.lower())
        members[member.name] = member
        data_end = member.offset + member.size
    if data_end != directory or entry_at != size - _END.size:
        raise ArtefactError("there are bytes between its parts that belong to none")
    return members


def _end_record(file: BinaryIO, size: int) -> tuple[int, int]:
    """The number of parts and where the directory begins."""
    if size < _END.size:
        raise ArtefactError("it is cut off")
    signature, disk, first_disk, here, count, length, start, comment = _END.unpack(
        _read(file, size - _END.size, _END.size)
    )
    if signature != b"PK\x05\x06" or start + length + _END.size != size:
        raise ArtefactError("it is cut off, or something was put before or after it")
    if disk or first_disk or comment or here != count:
        raise ArtefactError("it was written by another program")
    if not 0 < count <= MAX_MEMBERS:
        raise ArtefactError(f"it has {count} parts, and 1 to {MAX_MEMBERS} are read")
    return count, start


def _entry(file: BinaryIO, at: int, expected: int, size: int) -> tuple[Member, int]:
    """The part whose directory entry lies at `at` and whose local header must lie at `expected`; the next entry."""
    fields = _ENTRY.unpack(_read(file, at, _ENTRY.size))
    signature, _made_by, needs, flags, method, time, date, crc, packed, unpacked = fields[:10]
    name_length, extra, comment, disk, _internal, external, header = fields[10:]
    if signature != b"PK\x01\x02" or name_length > MAX_NAME:
        raise ArtefactError("its directory is damaged")
    raw = _read(file, at + _ENTRY.size, name_length)
    name = raw.decode("ascii", "backslashreplace")
    if flags & 1:
        raise ArtefactError(f"{name!r} in it is encrypted")
    if method or packed != unpacked:
        raise ArtefactError(f"{name!r} in it is compressed, and parts are stored as they are")
    if flags & ~_UTF8_NAMES or extra or comment or disk:
        raise ArtefactError(f"{name!r} in it uses zip extensions, so another program wrote it")
    mode = external >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or mode & 0o7000 or external & 0x10:
        raise ArtefactError(f"{name!r} in it is not a plain file")
    local = _LOCAL.unpack(_read(file, header, _LOCAL.size))
    stated = (b"PK\x03\x04", needs, flags, method, time, date, crc, packed, unpacked, name_length, 0)
    if header != expected or local != stated or _read(file, header + _LOCAL.size, name_length) != raw:
        raise ArtefactError(f"its directory and the header of {name!r} disagree")
    offset = header + _LOCAL.size + name_length
    if offset + unpacked > size:
        raise ArtefactError(f"{name!r} in it would reach past the end")
    return Member(name, offset, unpacked, crc), at + _ENTRY.size + name_length


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    """Exactly `length` bytes from `offset`."""
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise ArtefactError("it is cut off")
    return data
