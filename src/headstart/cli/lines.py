"""Lines on a stream, whatever its encoding."""

from __future__ import annotations

from typing import TextIO


def write_line(stream: TextIO, line: str) -> None:
    """Print a line, writing what the stream's encoding lacks as escapes."""
    try:
        stream.write(line + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
