"""The length of MP3 data. Their frames do not tell it; a Xing header before them may, and need not be true.

Without a true one libsndfile guesses from the first frame's bit rate, and reads no further than its guess: of a
variable rate it loses seconds, or promises hours. So frames are counted, and a true header is put before them.
Layout: ISO/IEC 11172-3, 2.4.1.3 and 13818-3; the header as Xing Technologies' decoder has it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

# kbit/s of layer III by the header's four bits, of MPEG 1 and of MPEG 2 and 2.5; Hz of MPEG 1 by its two bits.
_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = (44_100, 48_000, 32_000)
# MPEG 2.5, 2 and 1 by their two bits, and what their sampling rates are divided by.
_DIVISORS = {0: 4, 2: 2, 3: 1}
_LAYER_3, _MONO = 1, 3
# The bits that all frames of a file share: sync, version, layer and sampling rate.
_SHARED = 0xFFFE0C00
# A header frame of this rate (112 or 64 kbit/s) has room for what a Xing header says.
_ROOMY = 8
_FRAMES, _BYTES = 1, 2
# Bytes without a frame after which libmpg123 gives up.
_RESYNC = 1024


class _Frame(NamedTuple):
    """Of one frame: the four bytes of its header, its length in bytes, and that of what precedes its main data."""

    head: int
    length: int
    side: int


def with_length(data: bytes) -> bytes:
    """MP3 data that tell their true number of frames; data that do already, or are no MP3, as they are.

    Data with fewer frames than their header promises are truncated, and stay so.
    """
    start = _behind_id3(data)
    first = _frame(data, start)
    if first is None:
        return data
    stop, count = _walk(data, start, first)
    promised = _promised(data, start, first)
    if count < 2 or (promised is not None and promised >= count - 1):
        return data
    if promised is not None:
        start, count = start + first.length, count - 1
    return _header(first, count, stop - start) + data[start:stop]


def _behind_id3(data: bytes) -> int:
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    a, b, c, d = data[6:10]
    return int(10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[5] & 0x10 else 0))


def _frame(data: bytes, at: int) -> _Frame | None:
    """The frame of layer III that begins at a byte, or None."""
    if at + 4 > len(data):
        return None
    (head,) = struct.unpack_from(">I", data, at)
    divisor = _DIVISORS.get(head >> 19 & 3)
    rate, hertz = head >> 12 & 15, head >> 10 & 3
    if head >> 21 != 0x7FF or divisor is None or head >> 17 & 3 != _LAYER_3 or rate in (0, 15) or hertz == 3:
        return None
    return _measured(head, divisor)


def _measured(head: int, divisor: int) -> _Frame:
    one = divisor == 1
    kilobits = (_RATES_1 if one else _RATES_2)[head >> 12 & 15]
    length = (144_000 if one else 72_000) * kilobits * divisor // _HERTZ[head >> 10 & 3] + (head >> 9 & 1)
    mono = head >> 6 & 3 == _MONO
    return _Frame(head, length, (17 if mono else 32) if one else (9 if mono else 17))


def _walk(data: bytes, start: int, first: _Frame) -> tuple[int, int]:
    """Where the last whole frame ends, and how many there are; what is between frames is passed over."""
    at, stop, count = start, start, 0
    while (at := _next(data, at, first)) >= 0:
        frame = _frame(data, at)
        assert frame is not None
        at += frame.length
        if at <= len(data):
            stop, count = at, count + 1
    return stop, count


def _next(data: bytes, at: int, first: _Frame) -> int:
    """Where the next frame like the first begins, from a byte on; -1 where there is none."""
    at += _behind_id3(data[at : at + 10])
    expected = at
    while at >= 0:
        frame = _frame(data, at)
        alike = frame is not None and (frame.head ^ first.head) & _SHARED == 0
        # A byte out of place needs a second frame for proof.
        if frame is not None and alike and (at == expected or _frame(data, at + frame.length) is not None):
            return at
        at = data.find(b"\xff", at + 1, expected + _RESYNC)
    return -1


def _promised(data: bytes, at: int, first: _Frame) -> int | None:
    """The frames that a Xing header in the first one tells of, beside its own, or None; none for Fraunhofer's VBRI."""
    if data[at + 36 : at + 40] == b"VBRI":
        return len(data)
    tag = at + 4 + first.side
    if data[tag : tag + 4] not in (b"Xing", b"Info") or tag + 12 > len(data):
        return None
    flags, frames = struct.unpack_from(">II", data, tag + 4)
    return int(frames) if flags & _FRAMES else 0


def _header(first: _Frame, count: int, size: int) -> bytes:
    """A frame of silence that says how many frames and bytes follow."""
    head = first.head & ~0xF200 | _ROOMY << 12 | 0x10000
    frame = _measured(head, _DIVISORS[head >> 19 & 3])
    told = struct.pack(">4sIII", b"Xing", _FRAMES | _BYTES, count, frame.length + size)
    return (struct.pack(">I", head) + bytes(frame.side) + told).ljust(frame.length, b"\0")
