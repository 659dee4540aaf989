"""Tables as read: columns of plain cells, whatever the file or frame was.

Cells are str, bool, int, float or list; None where one is empty. A delimited file gives only strings, so that labels
such as "001", "NA" and "None" stay what was written; what is a number is decided where a column is used.
pandas is not needed for any of it, which saves half a second at start.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.cells import Cell, plain
from headstart.data.dataset import Skipped
from headstart.data.delimited import check_header, decimal_commas, delimiter_of, header_note
from headstart.data.texts import MAX_TEXT_BYTES, encoding_of
from headstart.errors import DataError
from headstart.optional import require

if TYPE_CHECKING:
    from pandas import DataFrame

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")

MAX_BYTES = 1 << 30  # of a file on disk
MAX_CELLS = 100_000_000  # a compressed table of few bytes can hold any number

Row = tuple[int, list[Cell] | str]  # its number, and its cells or why there are none


@dataclass(frozen=True, eq=False)
class Table:
    """n rows of named columns.

    Attributes:
        name: the file's name, or "DataFrame".
        folder: what relative paths in cells start from.
        columns: name -> n cells, in the order of the table.
        numbers: the number of each row, from 1, counting those that could not be read.
        bad: rows that could not be read.
        notes: how it was read, where that was not plain.
    """

    name: str
    folder: Path
    columns: dict[str, list[Cell]]
    numbers: tuple[int, ...]
    bad: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)


def is_frame(data: object) -> bool:
    """True for a pandas DataFrame; pandas is not imported to find out."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def is_table_name(path: str | Path) -> bool:
    """True if the name ends as a table's does."""
    return os.path.splitext(path)[1].lower() in TABLE_SUFFIXES


def load_table(path: Path) -> Table:
    """Read a .csv, .tsv, .parquet or .jsonl file. Rows that cannot be read are in `bad`, with their line.

    Raises:
        DataError: the file is not a table, too large, not UTF-8, without rows, or names a column twice.
        MissingLayerError: .parquet without pyarrow.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes; a table may have {MAX_BYTES:,}: split it")
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            return _load_parquet(path)
        if suffix == ".jsonl":
            return _load_jsonl(path)
        return _load_delimited(path, "\t" if suffix == ".tsv" else ",")
    except UnicodeError as wrong:
        raise DataError(f"{path} is not UTF-8{_undecodable(path) or f' ({wrong})'}: save it as UTF-8") from None
    except OSError as failed:
        raise DataError(f"{path} cannot be read: {failed.strerror or failed}") from None


def from_frame(frame: DataFrame) -> Table:
    """A DataFrame's columns as plain cells; relative paths start from the current folder.

    Raises:
        DataError: no rows, or a column name twice.
    """
    names = [str(name) for name in frame.columns]
    _check_names("DataFrame", names)
    columns = {name: [plain(cell) for cell in frame.iloc[:, i].tolist()] for i, name in enumerate(names)}
    return _checked(Table("DataFrame", Path(), columns, tuple(range(1, len(frame) + 1))))


def _load_delimited(path: Path, usual: str) -> Table:
    with path.open(encoding=_encoding(path), newline="") as file, _long_fields():
        delimiter, skip = delimiter_of(file.read(1 << 16), usual)
        file.seek(0)
        for _ in range(skip):
            file.readline()
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            first = next((cells for cells in reader if cells), [])
        except csv.Error as wrong:
            raise DataError(f"{path}, line {skip + 1}: {wrong}; expected a line of column names") from None
        names = [name.strip() or f"column {i + 1}" for i, name in enumerate(first)]
        _check_names(path.name, names)
        table = _collect(path, names, _delimited_rows(reader, len(names), skip))
        check_header(path.name, first, table.columns)
        table = replace(table, notes=(*table.notes, *header_note(table.columns)))
    return _with_points(table) if delimiter == ";" else table


def _with_points(table: Table) -> Table:
    """The table with "1,5" read as 1.5 in the columns that hold nothing but such numbers."""
    changed = {name: cells for name, old in table.columns.items() if (cells := decimal_commas(old)) is not None}
    if not changed:
        return table
    listed = ", ".join(list(changed)[:8]) + (" ..." if len(changed) > 8 else "")
    note = f"decimal commas read as points: column{'s' if len(changed) > 1 else ''} {listed}"
    return replace(table, columns=table.columns | changed, notes=(*table.notes, note))


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return encoding_of(file.read(4))


def _undecodable(path: Path) -> str:
    """Where the first bytes that are not UTF-8 stand; "" where it cannot be told."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as wrong:
                return f" in line {number} (byte 0x{line[wrong.start]:02x})"
    return ""


@contextmanager
def _long_fields() -> Iterator[None]:
    """Fields as long as a text may be; Python's own limit is 131,072 characters."""
    before = csv.field_size_limit(MAX_TEXT_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimited_rows(reader: Any, width: int, skipped: int) -> Iterator[Row]:
    number = 0
    while True:
        line = skipped + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as wrong:
            cells = None
            last = skipped + reader.line_num
            reason = f"line {line}: {wrong}" if last == line else f"lines {line}-{last}: {wrong}"
        if cells == []:  # a blank line is no row
            continue
        number += 1
        if cells is None:
            yield number, reason
        elif len(cells) != width:
            yield number, f"line {line}: {len(cells)} fields where the header has {width}"
        else:
            yield number, [cell if cell and not cell.isspace() else None for cell in cells]


def _load_jsonl(path: Path) -> Table:
    rows: list[dict[str, Cell] | str] = []
    names: dict[str, None] = {}
    cells = 0
    with path.open(encoding=_encoding(path)) as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            if not rows and text.split() in (["["], ["[{"]):
                raise DataError(f"{path.name} is one JSON array; expected one object a line")
            try:
                row = json.loads(text)
                row = dict(_flat(row)) if isinstance(row, dict) else row
            except (ValueError, RecursionError) as wrong:
                row = f"line {line}: not JSON ({wrong})"
            if not isinstance(row, (dict, str)):
                row = f"line {line}: {type(row).__name__} where an object was expected"
            elif isinstance(row, dict):
                names.update(dict.fromkeys(row))
                cells += len(row)
                _check_cells(path.name, cells)
            rows.append(row)
    _check_cells(path.name, len(rows) * len(names))
    listed = ((n, row if isinstance(row, str) else [plain(row.get(c)) for c in names]) for n, row in enumerate(rows, 1))
    return _collect(path, list(names), listed)


def _flat(row: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The cells of an object, those of objects in it as "outer.inner"."""
    for name, cell in row.items():
        if isinstance(cell, dict) and cell:
            yield from _flat(cell, f"{above}{name}.")
        else:
            yield f"{above}{name}", cell


def _load_parquet(path: Path) -> Table:
    parquet = require("pyarrow.parquet", "tables", "reading a .parquet table")
    arrow = require("pyarrow", "tables", "reading a .parquet table")
    try:
        with parquet.ParquetFile(path) as file:
            meta = file.metadata
            _check_cells(path.name, meta.num_rows * max(meta.num_columns, 1))
            size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
            if size > 4 * MAX_BYTES:
                raise DataError(f"{path} unpacks to {size:,} bytes; a table may have {4 * MAX_BYTES:,}: split it")
            names = list(file.schema_arrow.names)
            _check_names(path.name, names)
            content = file.read()
    except arrow.ArrowException as wrong:
        raise DataError(f"{path} is not a parquet table: {str(wrong).splitlines()[0]}") from None
    columns = {name: [plain(cell) for cell in content.column(i).to_pylist()] for i, name in enumerate(names)}
    return _checked(Table(path.name, path.parent, columns, tuple(range(1, content.num_rows + 1))))


def _collect(path: Path, names: list[str], rows: Iterator[Row]) -> Table:
    columns: list[list[Cell]] = [[] for _ in names]
    numbers: list[int] = []
    bad: list[Skipped] = []
    while block := list(islice(rows, 10_000)):
        good = [(number, cells) for number, cells in block if not isinstance(cells, str)]
        bad.extend(Skipped(f"row {number}", why) for number, why in block if isinstance(why, str))
        numbers.extend(number for number, _ in good)
        for column, cells in zip(columns, zip(*(cells for _, cells in good), strict=True), strict=False):
            column.extend(cells)
        _check_cells(path.name, len(numbers) * len(names))
    return _checked(Table(path.name, path.parent, dict(zip(names, columns, strict=True)), tuple(numbers), tuple(bad)))


def _checked(table: Table) -> Table:
    if not len(table):
        why = f": {table.bad[0].reason}" if table.bad else ""
        raise DataError(f"{table.name} has no rows that can be read{why}; expected one row an item")
    return table


def _check_names(table: str, names: Sequence[str]) -> None:
    if not names:
        raise DataError(f"{table} is empty; expected a line of column names, then one row an item")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{table} has two columns named {twice[0]!r}: rename one")


def _check_cells(table: str, cells: int) -> None:
    if cells > MAX_CELLS:
        raise DataError(f"{table} has more than {MAX_CELLS:,} cells, the most a table may have: split it")
