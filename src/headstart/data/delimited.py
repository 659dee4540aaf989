"""What separates the fields of a delimited file, and what separates whole numbers from decimals in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from headstart.data.cells import Cell, as_number, number_share
from headstart.errors import DataError

# Spreadsheets of many countries write ';' in a .csv, databases a tab or a bar.
DELIMITERS = ",;\t|"
_ROWS = 50
_ANNOUNCED = re.compile(r"sep=(\t|[^\w\s\"])\s*")
_DECIMAL = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")


def delimiter_of(text: str, usual: str) -> tuple[str, int]:
    """The delimiter of a file, and how many lines come before its header: one where the first line is "sep=;".

    It is the usual one if the header has it. Where the header has several that could be it, the one which cuts the most
    rows into as many fields as the header wins.

    Args:
        text: the beginning of the file.
        usual: what the file's name promises.
    """
    lines = list(io.StringIO(text, newline=""))
    announced = _ANNOUNCED.fullmatch(lines[0]) if lines else None
    if announced:
        return announced[1], 1
    header = _header(lines)
    found = [one for one in dict.fromkeys(usual + DELIMITERS) if one in header]
    if len(found) < 2:
        return (found or [usual])[0], 0
    whole = lines[:-1] if len(lines) > 2 else lines  # the last line may be cut
    return max(found, key=lambda one: _agreement(whole, one)), 0


def _header(lines: Iterable[str]) -> str:
    """The first record, which goes on where a quote is open."""
    header = ""
    for line in lines:
        header += line
        if header.strip() and header.count('"') % 2 == 0:
            break
    return header


def _agreement(lines: Sequence[str], delimiter: str) -> float:
    """The share of the first rows that have as many fields as the header."""
    try:
        widths = [len(cells) for cells in islice(csv.reader(lines, delimiter=delimiter), _ROWS) if cells]
    except csv.Error:
        return 0.0
    return sum(width == widths[0] for width in widths) / max(len(widths), 1)


def decimal_commas(cells: Sequence[Cell]) -> list[Cell] | None:
    """The cells of a column of numbers with decimal commas, with points; None where it is no such column."""
    written = [cell for cell in cells if cell is not None]
    if not any("," in cell for cell in written) or not all(_DECIMAL.fullmatch(cell.strip()) for cell in written):
        return None
    return [None if cell is None else cell.replace(",", ".") for cell in cells]


def check_header(name: str, header: Sequence[str], columns: Mapping[str, Sequence[Cell]]) -> None:
    """Refuse a title, or names that stand over several columns, as the line of column names.

    Raises:
        DataError: of the columns with cells, two at least have no name, and these are half of them or more.
    """
    named = [cell.strip() for cell in header if cell.strip()]
    filled = [any(cell is not None for cell in cells) for cells in columns.values()]
    nameless = sum(there for there, cell in zip(filled, header, strict=True) if not cell.strip())
    if named and nameless >= max(2, len(named)):
        raise DataError(
            f"{name}: its first line names {len(named)} of {len(named) + nameless} columns ({', '.join(named)[:60]}); "
            f"expected a name for each: delete what stands above the line of column names"
        )


def header_note(columns: Mapping[str, Sequence[Cell]]) -> tuple[str, ...]:
    """A note where the line of column names looks like a row: one recurs below it, or is a number with a point."""
    for name, cells in columns.items():
        recurs = not name.isdigit() and cells.count(name) > 1
        number = "." in name and as_number(name) is not None and number_share(cells) > 0
        if recurs or number:
            return (
                f"the first line, taken for the names of the columns, looks like a row ({name!r}): add such a line",
            )
    return ()
