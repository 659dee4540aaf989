"""Text files."""

from __future__ import annotations

import codecs
from pathlib import Path

from headstart.errors import ItemError

MAX_TEXT_BYTES = 8 << 20


def encoding_of(beginning: bytes) -> str:
    """UTF-16 where the bytes begin with its byte-order mark or with two Latin letters in it; else UTF-8."""
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = bytes(byte == 0 for byte in beginning[:4])
    return {b"\0\1\0\1": "utf-16-le", b"\1\0\1\0": "utf-16-be"}.get(zeros, "utf-8-sig")


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file (UTF-16 where it begins with that byte-order mark).

    Raises:
        ItemError: missing, unreadable, longer than 8 MiB, empty, or not text. The message does not repeat the path.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        raise ItemError("no such file") from None
    except OSError as failed:
        raise ItemError(f"cannot be read: {failed.strerror or failed}") from None
    if len(content) > MAX_TEXT_BYTES:
        raise ItemError(f"longer than {MAX_TEXT_BYTES >> 20} MiB; expected one text")
    try:
        text = content.decode(encoding_of(content))
    except UnicodeDecodeError:
        raise ItemError("not UTF-8 text; save it as UTF-8") from None
    if "\0" in text:
        raise ItemError("holds zero bytes: not a text")
    if not text.strip():
        raise ItemError("empty text")
    return text
