"""What one cell of a table can be, and when it is a number.

Cells are str, bool, int, float or list; None where one is empty. A delimited file gives only strings, so that labels
such as "001", "NA" and "None" stay what was written; what is a number is decided where a column is used.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

Cell = Any  # str | bool | int | float | list | None

MISSING_WORDS = frozenset(("", "-", ".", "?", "na", "n/a", "nan", "none", "null", "<na>"))

# Where `float` sees a number and as_number does not, besides "1_000": codes like "007". Begins with a plain character
# so that the search is fast.
CODE = re.compile(r"\n[ \t]*[+-]*0\d")
# Numbers as sheets show them: "1,234.50", "$99", "12.5 %".
_SHOWN = re.compile(r"(?P<sign>[+-]?)[$€£¥]? ?(?P<whole>[1-9]\d{0,2}(?:,\d{3})+|0|[1-9]\d*)(?P<rest>\.\d+)? ?[%€$£¥]?")


def plain(cell: object) -> Cell:
    """A cell of a frame, of parquet or of JSON as one of the few plain types; None for every kind of missing."""
    if cell is None or isinstance(cell, (bool, int)):
        return cell
    if isinstance(cell, str):
        return cell if cell.strip() else None
    if isinstance(cell, (float, Decimal)):
        return None if math.isnan(cell) else float(cell)
    if isinstance(cell, np.ndarray):
        return cell.tolist() if cell.ndim else plain(cell.item())
    if isinstance(cell, np.generic):
        return plain(cell.item())
    if isinstance(cell, (list, tuple)):
        return list(cell)
    if isinstance(cell, (set, frozenset)):
        return sorted(cell, key=str)
    if isinstance(cell, os.PathLike):
        return os.fspath(cell)
    if isinstance(cell, date):
        return cell.isoformat() if cell == cell else None  # pandas' NaT is a date that equals nothing
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, bytes):  # how some writers of parquet store strings
        return _decoded(cell)
    if type(cell).__name__ == "NAType":
        return None
    return str(cell)


def _decoded(cell: bytes) -> str | None:
    try:
        text: str | None = plain(cell.decode())
        return text
    except UnicodeDecodeError:
        return None


def as_number(cell: Cell) -> float | None:
    """The number that a cell holds; None if it is none. A code with a leading zero ("007") is not a number.

    Thousands may be set off by commas; one sign of a currency or of per cent is left out: "1,234 %" is 1234.
    """
    if isinstance(cell, (bool, int, float)):
        try:
            return float(cell)
        except OverflowError:
            return None
    if not isinstance(cell, str) or "_" in cell:  # Python reads "1_000" as a number; people do not
        return None
    digits = cell.strip().lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return None
    try:
        return float(cell)
    except ValueError:
        shown = _SHOWN.fullmatch(cell.strip())
        return float(shown["sign"] + shown["whole"].replace(",", "") + (shown["rest"] or "")) if shown else None


def is_missing_word(cell: Cell) -> bool:
    """True for None and for what people write into a column of numbers where there is none ("NA", "?")."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING_WORDS)


def as_numbers(cells: Sequence[Cell]) -> NDArray[np.float64]:
    """(n,) float64: `as_number` of each cell, NaN where it is none."""
    texts = "\n".join(["", *(cell for cell in cells if isinstance(cell, str))])
    if "_" not in texts and not CODE.search(texts):
        try:  # some 20 times faster than cell by cell
            return np.array([math.nan if cell is None else float(cell) for cell in cells], np.float64)
        except (TypeError, ValueError, OverflowError):
            pass
    values = (as_number(cell) for cell in cells)
    return np.array([math.nan if value is None else value for value in values], np.float64)


def number_share(cells: Sequence[Cell], numbers: NDArray[np.float64] | None = None) -> float:
    """The share of numbers among the cells that are not missing; 0 where all are. True and False are not numbers here.

    A column of them is one of two categories, so that it is the same from a frame and from a file.

    Args:
        numbers: `as_numbers(cells)` where it is at hand.
    """
    empty = np.isnan(as_numbers(cells) if numbers is None else numbers)
    truths = sum(isinstance(cell, bool) for cell in cells)
    count = len(cells) - int(empty.sum()) - truths
    words = sum(not is_missing_word(cells[i]) for i in np.flatnonzero(empty).tolist())
    return count / (count + words + truths) if count else 0.0
