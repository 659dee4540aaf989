"""Files as bytes and as identities: bounded reading, and names for content."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

from headstart.errors import ItemError

KEY_BYTES = 32
MAX_BYTES = 512 * 2**20
# A file changed this recently may change again within the clock tick of its time stamp, unseen.
_SETTLED_NS = 2_000_000_000


def read_file(path: Path, too_large: str = "make it smaller") -> bytes:
    """The whole of a regular file.

    Args:
        too_large: what to do with one that has more than MAX_BYTES.

    Raises:
        ItemError: it is missing, unreadable, no regular file, or has more than MAX_BYTES.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ItemError("not a file; expected one")
        if found.st_size > MAX_BYTES:
            raise ItemError(f"{found.st_size:,} bytes; at most {MAX_BYTES:,} are read: {too_large}")
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ItemError(f"the file cannot be read: {reason}") from None


def content_key(data: bytes) -> bytes:
    """32 bytes that name this content: its SHA-256."""
    return hashlib.sha256(data).digest()


def text_key(text: str) -> bytes:
    """32 bytes that name a text: the SHA-256 of its UTF-8 form."""
    return content_key(text.encode("utf-8", "surrogatepass"))


def file_key(path: Path) -> bytes | None:
    """32 bytes that name a file in its present state: place, size, time of change, inode. The file is not opened.

    None where there is no such file, or where it changed in the last two seconds: a time stamp that coarse could hide a
    second change.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < _SETTLED_NS:
        return None
    state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return hashlib.sha256(os.fsencode(os.path.abspath(path)) + repr(state).encode()).digest()
