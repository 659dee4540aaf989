"""Ogg data that were cut off: what is left of them decodes without a word."""

from __future__ import annotations

# Of a page's header, before the table of its segments' lengths (RFC 3533, section 6).
_HEADER = 27


def cut_off(data: bytes) -> bool:
    """True for Ogg data whose last page is not all there."""
    at = data.rfind(b"OggS\0") if data.startswith(b"OggS\0") else -1
    if at < 0:
        return False
    begins = at + _HEADER + data[at + _HEADER - 1] if at + _HEADER <= len(data) else len(data)
    return begins + sum(data[at + _HEADER : begins]) > len(data) or begins >= len(data)
