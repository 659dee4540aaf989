"""Items to predict: no labels, and every one that cannot be used is named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import FILES, Dataset, Modality, Skipped
from headstart.data.infer import Wanted, infer_roles
from headstart.data.locate import find_file, is_url
from headstart.data.rows import read_rows, row_names, take_items
from headstart.data.search import SUFFIXES, Found, is_folder, readable, search, why_not_a_file
from headstart.data.table import Table, from_frame, is_frame, is_table_name, load_table
from headstart.data.texts import read_text
from headstart.errors import DataError, ItemError

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass
class _Gathered:
    """Items so far."""

    items: list[object] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, id_: str, item: object) -> None:
        self.ids.append(id_)
        self.items.append(item)

    def skip(self, id_: str, reason: str) -> None:
        self.skipped.append(Skipped(id_, reason, before=len(self.items)))


def read_inputs(
    inputs: str | os.PathLike[str] | DataFrame | Iterable[str | os.PathLike[str] | DataFrame],
    modality: Modality,
    *,
    input: str | None = None,  # noqa: A002  the command line's word
    usual_input: str | None = None,
    columns: Sequence[str] = (),
) -> Dataset:
    """Items to predict, in the order given; those that cannot be used are in `skipped`, and none is not an error.

    Args:
        inputs: one or several of:
            image, sound: files, folders (searched through), tables or DataFrames with a column of paths;
            text: the texts themselves, .txt files, folders given as a Path or with a separator in the name, tables;
            table: tables that have the model's columns.
        input: the column of texts or paths in tables; None to infer it.
        usual_input: the one of the model's fit: taken where a table has it and no other is named.
        columns: table: the model's `Dataset.columns`.

    Raises:
        DataError: nothing was given, or a table is unreadable or lacks a column.
    """
    several = (
        [inputs] if isinstance(inputs, (str, Path)) or is_frame(inputs) else list(cast("Iterable[object]", inputs))
    )
    if not several:
        raise DataError("nothing to predict was given; expected files, folders, texts or tables")
    wanted = Wanted(modality, input=input, columns=tuple(columns), usual_input=usual_input)
    got = _Gathered()
    for one in several:
        _add(one, wanted, modality, got, named=len(several) > 1)
    items = np.array(got.items, np.float64).reshape(-1, len(columns)) if modality == "table" else got.items
    return Dataset(
        name=_shown(several[0]) if len(several) == 1 and isinstance(several[0], Path) else "inputs",
        modality=modality,
        items=cast("NDArray[np.float64] | list[Path] | list[str]", items),
        ids=tuple(got.ids),
        columns=tuple(columns),
        skipped=tuple(got.skipped),
        notes=tuple(got.notes),
    )


def _add(one: object, wanted: Wanted, modality: Modality, got: _Gathered, *, named: bool) -> None:
    """Add what `one` of the inputs stands for. named: rows, but not paths, are called by their table too."""
    if isinstance(one, os.PathLike):
        one = Path(one)
    if is_frame(one):
        _rows(from_frame(cast("DataFrame", one)), wanted, got, named=named)
    elif not isinstance(one, (str, Path)):
        raise DataError(f"cannot predict a {type(one).__name__}; expected a path, a text or a DataFrame")
    elif _is_table(one):
        _rows(load_table(Path(one)), wanted, got, named=named)
    elif modality in FILES:
        _file(one, modality, got)
    elif modality == "text":
        _text(one, got)
    elif os.path.exists(one):
        got.skip(_shown(one), "not a table; expected .csv, .tsv, .parquet or .jsonl")
    else:
        got.skip(_shown(one), "no such file")


def _is_table(one: str | Path) -> bool:
    return is_table_name(one) and os.path.isfile(one)


def _rows(table: Table, wanted: Wanted, got: _Gathered, *, named: bool) -> None:
    roles = infer_roles(table, wanted, labelled=False)
    contents = read_rows(table, roles, wanted.columns)
    names = [f"{table.name} {name}" if named else name for name in row_names(table, roles.id)]
    if wanted.modality in FILES and roles.id is None:
        cells = table.columns[roles.inputs[0]]
        names = [name if cell is None else readable(str(cell)) for name, cell in zip(names, cells, strict=True)]
    kept = np.array([i for i in range(len(table)) if i not in contents.reasons], np.int64)
    start = len(got.items)
    got.items.extend(take_items(contents.items, kept))
    got.ids.extend(names[i] for i in kept)
    for skipped in table.bad:
        got.skipped.append(replace(skipped, before=start))
    for row in sorted(contents.reasons):
        before = start + int(np.searchsorted(kept, row))
        got.skipped.append(Skipped(names[row], contents.reasons[row], before))
    got.notes.extend((*table.notes, *roles.notes, *contents.notes))


def _file(one: str | Path, modality: Modality, got: _Gathered) -> None:
    path = Path(one)
    if one == "":  # Path("") is the current folder
        got.skip("", "an empty name")
    elif is_folder(path):
        _folder(path, modality, got)
    elif (file := find_file(str(one), Path())) is not None:
        got.add(_shown(one), file)
    elif is_url(str(one)):
        got.skip(_shown(one), "is a URL: download it first")
    else:
        got.skip(_shown(one), "not a file" if os.path.exists(path) else "no such file")


def _text(one: str | Path, got: _Gathered) -> None:
    """A str is a text unless it names a file or, with a separator in it, a folder."""
    word = isinstance(one, Path) or (len(one) < 4096 and len(one.split()) == 1)
    if (isinstance(one, Path) or (word and os.sep in one)) and is_folder(Path(one)):
        _folder(Path(one), "text", got)
    elif isinstance(one, Path) or (one.lower().endswith(".txt") and (word or os.path.isfile(one))):
        try:
            got.add(_shown(one), read_text(one))
        except ItemError as failed:
            got.skip(_shown(one), str(failed))
    elif one.strip():
        got.add(one, one)
    else:
        got.skip(one, "empty text")


def _folder(path: Path, modality: Modality, got: _Gathered) -> None:
    found = search(str(path), Found())
    got.notes.extend(found.notes())
    for file in sorted(found.paths[modality]):
        if modality in FILES:
            got.add(_shown(file), Path(file))
        else:
            _text(Path(file), got)
    for link in sorted(found.dangling):
        got.skip(_shown(link), why_not_a_file(link))
    if not found.paths[modality] and not found.dangling:
        got.skip(_shown(path), f"a folder without {' '.join(sorted(SUFFIXES[modality]))} files")


def _shown(one: object) -> str:
    return readable(one.as_posix() if isinstance(one, Path) else str(one))
