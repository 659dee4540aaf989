"""Feature columns of a table to a matrix: numbers as they are, categories as one column of 0 and 1 each.

The names of the matrix's columns are the whole mapping: "age" is the number in column age, "sex=male" is 1 where column
sex says male. So a model needs to store nothing but these names to make the same matrix of another table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.cells import Cell, as_numbers, is_missing_word, number_share
from headstart.errors import DataError

NUMERIC_SHARE = 0.95  # a column with fewer stray words than this leaves is one of numbers
MAX_CATEGORIES = 50

ID_NAMES = frozenset(("id", "index", "uuid", "guid", "rownum", "row", "unnamed: 0", "column 1"))


@dataclass(frozen=True, eq=False)
class Matrix:
    """(n, d) float64 with NaN where a number is missing, its d column names, and what was decided."""

    values: NDArray[np.float64]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def encode(columns: Mapping[str, Sequence[Cell]]) -> Matrix:
    """Make a matrix of all usable columns, in their order; categories of a column in alphabetical order.

    A missing number is NaN; a missing category is 0 in all columns of its categories.

    Raises:
        DataError: no usable column, or column names that would make the mapping ambiguous.
    """
    blocks: list[tuple[tuple[str, ...], NDArray[np.float64]]] = []
    notes: list[str] = []
    for name, cells in columns.items():
        numbers = as_numbers(cells)
        numeric = number_share(cells, numbers) >= NUMERIC_SHARE
        dropped = _unusable(name, cells, numeric=numeric)
        if dropped:
            notes.append(f"not used: column {name!r}, {dropped}")
        elif numeric:
            notes += _odd(name, cells, numbers)
            blocks.append(((name,), _finite(numbers)[:, None]))
        else:
            said = [_category(cell) for cell in cells]
            values = sorted({value for value in said if value is not None})
            hot = np.array([[value == one for value in values] for one in said], np.float64)  # (n, categories)
            blocks.append((tuple(f"{name}={value}" for value in values), hot))
    if not blocks:
        raise DataError(f"no column can be made into features ({'; '.join(notes)})")
    names = tuple(name for block, _ in blocks for name in block)
    clash = next((name for name in names if len(_pairs(name, columns)) > 1), None)
    if clash is not None:
        raise DataError(f"column {clash!r} can be read in two ways: rename the columns that have '=' in their names")
    categories = len(set(names) - set(columns))
    notes.insert(0, f"features: {len(names)} column{'s' * (len(names) > 1)}, {categories} of them for categories")
    return Matrix(np.hstack([values for _, values in blocks]), names, tuple(notes))


def rebuild(columns: Mapping[str, Sequence[Cell]], names: Sequence[str]) -> NDArray[np.float64]:
    """(n, d) float64: the matrix with the columns `names` that `encode` gave for another table.

    A category that was not there then is 0 in all columns of its categories.

    Raises:
        DataError: a column that the names need is absent.
    """
    n = len(next(iter(columns.values()), ()))
    out = np.empty((n, len(names)))
    said: dict[str, list[str | None]] = {}
    for j, name in enumerate(names):
        base, value = _base(name, columns)
        if value is None:
            out[:, j] = _finite(as_numbers(columns[base]))
        else:
            if base not in said:
                said[base] = [_category(cell) for cell in columns[base]]
            out[:, j] = [category == value for category in said[base]]
    return out


def base_columns(names: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The columns of a table that the matrix columns `names` are made of.

    Raises:
        DataError: the table lacks some; the message names them.
    """
    known = dict.fromkeys(there)
    lacking = [name for name in names if not _pairs(name, known)]
    if lacking:
        from difflib import get_close_matches

        first = lacking[0].partition("=")[0]
        near = get_close_matches(first, there, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        columns = list(dict.fromkeys(name.partition("=")[0] for name in lacking))
        listed = ", ".join(columns[:8]) + (" ..." if len(columns) > 8 else "")
        raise DataError(f"the table lacks {len(columns)} of the model's columns ({listed}){hint}")
    return tuple(dict.fromkeys(_base(name, known)[0] for name in names))


def _pairs(name: str, columns: Mapping[str, object]) -> list[tuple[str, str | None]]:
    """Every (column, category) that a matrix column's name can mean; category None for a number."""
    out: list[tuple[str, str | None]] = [(name, None)] if name in columns else []
    at = name.find("=")
    while at >= 0:
        if name[:at] in columns:
            out.append((name[:at], name[at + 1 :]))
        at = name.find("=", at + 1)
    return out


def _base(name: str, columns: Mapping[str, object]) -> tuple[str, str | None]:
    pairs = _pairs(name, columns)
    if not pairs:
        raise DataError(f"there is no column for the feature {name!r}")
    return pairs[0]


def _unusable(name: str, cells: Sequence[Cell], *, numeric: bool) -> str | None:
    """Why a column is left out, or None."""
    if not numeric and all(is_missing_word(cell) for cell in cells):
        return "which is empty"
    if not numeric and any(isinstance(cell, list) for cell in cells):
        return "which holds lists"
    lower = name.strip().lower()
    names_rows = lower in ID_NAMES or lower.endswith(("_id", " id")) or name.endswith("Id")
    if numeric and not names_rows:
        return None
    distinct = len({_category(cell) for cell in cells if cell is not None})
    if names_rows and distinct == len(cells):
        return "whose values only name the rows"
    if not numeric and distinct > min(MAX_CATEGORIES, max(10, len(cells) // 2)):
        return f"which has {distinct} distinct words"
    return None


def _odd(name: str, cells: Sequence[Cell], numbers: NDArray[np.float64]) -> list[str]:
    """A note on the cells of a column of numbers that are neither finite numbers nor known words for nothing."""
    odd = [cells[i] for i in np.flatnonzero(~np.isfinite(numbers)).tolist() if not is_missing_word(cells[i])]
    if not odd:
        return []
    cells_are = "1 cell is" if len(odd) == 1 else f"{len(odd)} cells are"
    return [f"column {name!r}: {cells_are} not a finite number and read as missing ({odd[0]!r})"]


def _finite(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _category(cell: Cell) -> str | None:
    """The category a cell says; whole numbers without a point, so that 1 and 1.0 of two files are one."""
    if cell is None:
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
