"""Lines on a stream, whatever its encoding, and whatever a stranger's names hold."""

from __future__ import annotations

import re
from typing import TextIO

# C0 and C1 controls, which a terminal obeys; line separators; what overrides the direction of reading.
# Not DEL, which terminals ignore and JSON keeps.
_CONTROLS = re.compile("[\x00-\x1f\x80-\x9f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text whose control characters are escapes: a line break is \\n, an escape \\x1b."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def write_line(stream: TextIO, line: str) -> None:
    """Print one line, writing control characters and what the stream's encoding lacks as escapes."""
    line = visible(line)
    try:
        stream.write(line + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
