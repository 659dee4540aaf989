"""Rows of a table to items: paths of files, texts, or a matrix; and what their rows are grouped and ordered by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.data.cells import Cell, as_number
from headstart.data.dataset import FILES, Items, Skipped
from headstart.data.infer import Roles
from headstart.data.locate import find_file, is_url, why_absent
from headstart.data.matrix import base_columns, encode, rebuild
from headstart.data.search import readable, unread_notes
from headstart.data.table import Table
from headstart.data.texts import read_text
from headstart.errors import DataError, ItemError


@dataclass(eq=False)
class Contents:
    """What the n rows of a table hold.

    Attributes:
        items: n, one a row; of no meaning where a row has a reason.
        reasons: position of each row that cannot be used -> why.
        columns: names of the matrix's columns.
    """

    items: Items
    reasons: dict[int, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_rows(table: Table, roles: Roles, columns: Sequence[str] = ()) -> Contents:
    """The items of a table; files are looked for, not opened, but for texts.

    Args:
        columns: for tables of features: those of a model, to be made again; empty to choose them.

    Raises:
        DataError: a feature column is absent or none can be used.
    """
    if roles.modality == "table":
        if columns:
            base_columns(columns, tuple(table.columns))
            return Contents(rebuild(table.columns, columns), columns=tuple(columns))
        matrix = encode({name: table.columns[name] for name in roles.inputs})
        return Contents(matrix.values, columns=matrix.names, notes=matrix.notes)
    cells = table.columns[roles.inputs[0]]
    return _paths(cells, table.folder) if roles.modality in FILES else _texts(cells, table.folder)


def row_names(table: Table, id_column: str | None) -> list[str]:
    """n unique names: the id column's, else "row 17", counted from 1 below the header."""
    if id_column is not None:
        return [str(cell) for cell in table.columns[id_column]]
    return [f"row {number}" for number in table.numbers]


def file_names(table: Table, roles: Roles) -> list[str] | None:
    """n names of files as the table writes them, "" for none; None where its items are no files."""
    if roles.modality == "table":
        return None
    cells = table.columns[roles.inputs[0]]
    if roles.modality not in FILES and not _are_text_files(cells):
        return None
    return ["" if cell is None else readable(str(cell)) for cell in cells]


def skipped_rows(reasons: dict[int, str], names: Sequence[str], bad: Iterable[Skipped] = ()) -> tuple[Skipped, ...]:
    """All that was left out: rows that could not be read, then those that could not be used, in order."""
    return (*bad, *(Skipped(names[i], reasons[i]) for i in sorted(reasons)))


def take_items(items: Items, kept: NDArray[np.int64]) -> Items:
    """The items at positions `kept`."""
    if isinstance(items, np.ndarray):
        return items[kept]
    return [items[i] for i in kept]


def group_codes(cells: Sequence[Cell]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(n,) int64 codes of groups, and notes. Rows without a group are one group: none of them can leak into another."""
    names = ["" if cell is None else f"={cell}" for cell in cells]
    distinct, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
    missing = names.count("")
    notes = (f"groups: {missing} rows without one are kept together as one more group",) if missing else ()
    return codes.astype(np.int64), (f"groups: {len(distinct)} distinct", *notes)


def read_times(cells: Sequence[Cell], column: str) -> tuple[NDArray[np.float64], dict[int, str]]:
    """(n,) float64: numbers as they are, or ISO dates as seconds since 1970 (UTC where no zone is given).

    Also the position of each empty cell -> why it cannot be used; its time is NaN.

    Raises:
        DataError: a cell that is neither.
    """
    out = np.full(len(cells), np.nan)
    reasons = {}
    for i, cell in enumerate(cells):
        if cell is None:
            reasons[i] = f"no time in column {column!r}"
            continue
        number = as_number(cell)
        out[i] = _seconds(str(cell), column) if number is None else number
        if not np.isfinite(out[i]):
            reasons[i] = f"the time {cell!r} is not finite"
    return out, reasons


def _seconds(text: str, column: str) -> float:
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise DataError(f"time column {column!r} has {text!r}; expected a number or a date like 2024-01-31") from None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def _paths(cells: Sequence[Cell], folder: Path) -> Contents:
    contents = Contents([])
    paths: list[Path] = []
    for i, cell in enumerate(cells):
        path = None if cell is None else find_file(str(cell), folder)
        if path is None:
            contents.reasons[i] = "no path" if cell is None else why_absent(str(cell), folder)
        paths.append(path or folder)
    contents.items = paths
    unread = unread_notes(path.suffix.lower() for path in paths)
    contents.notes = (*_read_otherwise(cells, paths, contents.reasons, folder), *unread)
    return contents


def _read_otherwise(
    cells: Sequence[Cell], paths: Sequence[Path], reasons: dict[int, str], folder: Path
) -> tuple[str, ...]:
    """A note on the names that are no files as they are written."""
    others = [i for i, path in enumerate(paths) if i not in reasons and path != folder / str(cells[i])]
    if not others:
        return ()
    are = "1 path is" if len(others) == 1 else f"{len(others)} paths are"
    return (f"{are} not found as written but read in another way: {cells[others[0]]!r} is {paths[others[0]]}",)


def _texts(cells: Sequence[Cell], folder: Path) -> Contents:
    """Texts as they stand; where every cell names a .txt file, the files' texts."""
    reasons: dict[int, str] = {}
    texts: list[str] = []
    files = _are_text_files(cells)
    for i, cell in enumerate(cells):
        text = "" if cell is None else str(cell)
        if not text.strip():
            reasons[i] = "empty text"
        elif files:
            try:
                text = _text_of(text, folder)
            except ItemError as failed:
                reasons[i] = f"{text}: {failed}"
        texts.append(text)
    return Contents(texts, reasons)


def _are_text_files(cells: Sequence[Cell]) -> bool:
    """True where every cell that is not missing names a .txt file."""
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(isinstance(c, str) and c.lower().endswith(".txt") and "\n" not in c for c in there)


def _text_of(name: str, folder: Path) -> str:
    path = find_file(name, folder)
    if path is None:
        raise ItemError("is a URL: download it first" if is_url(name) else "no such file")
    return read_text(path)
