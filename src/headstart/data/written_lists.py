"""Lists as text: what a table of plain cells makes of them, JSON's way, Python's or NumPy's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from headstart.data.cells import Cell

_ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([+-]?\d+(?:\.\d+)?))\s*(?:,|$|(?=['"]))""")
_ESCAPED = re.compile(r"\\(.)")


def as_lists(cells: Sequence[Cell]) -> list[Cell] | None:
    """The cells with `["a", "b"]`, `['a', 'b']` and `['a' 'b']` as lists of text; None unless all are such or lists.

    Items are quoted, or numbers: "[a]" is a name like any other.
    """
    if not any(isinstance(cell, str) for cell in cells):
        return None
    out: list[Cell] = []
    for cell in cells:
        parts = _parts(cell.strip()) if isinstance(cell, str) else cell
        if not isinstance(parts, list):
            return None
        out.append(parts)
    return out


def _parts(text: str) -> list[str] | None:
    if text[:1] != "[" or text[-1:] != "]" or len(text) < 2:
        return None
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return _quoted(text[1:-1].strip())
    return None if any(isinstance(part, (list, dict)) for part in parts) else [str(p) for p in parts if p is not None]


def _quoted(inside: str) -> list[str] | None:
    parts, at = [], 0
    while at < len(inside):
        item = _ITEM.match(inside, at)
        if item is None:
            return None
        parts.append(_ESCAPED.sub(r"\1", next(part for part in item.groups() if part is not None)))
        at = item.end()
    return parts
