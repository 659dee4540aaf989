"""Whatever the user has, to a data set."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from headstart.data.column_names import TRANSCRIPT_NAMES, columns_named
from headstart.data.contradictions import contradictions
from headstart.data.dataset import FILES, Dataset, Modality
from headstart.data.folder import read_folder
from headstart.data.infer import Roles, Wanted, infer_roles
from headstart.data.inputs import read_inputs
from headstart.data.labels import Labels, read_label_columns, read_labels
from headstart.data.locate import elsewhere
from headstart.data.name_fields import guess_note
from headstart.data.names import NamePart, groups_of, labels_of
from headstart.data.rows import file_names, group_codes, read_rows, read_times, row_names, skipped_rows, take_items
from headstart.data.search import is_folder
from headstart.data.split_notes import refuse_uncheckable
from headstart.data.table import TABLE_SUFFIXES, Table, from_frame, is_frame, is_table_name, load_table
from headstart.errors import DataError
from headstart.tasks import Task

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["read", "read_for_model", "read_inputs", "read_table"]


def read(
    data: str | os.PathLike[str] | DataFrame,
    *,
    modality: Modality | None = None,
    task: Task | None = None,
    input: str | None = None,  # noqa: A002  the command line's word
    label: str | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Dataset:
    """Read labelled data. What is not given is inferred, and said in the data set's notes.

    Args:
        data: a folder of class folders (images, sounds, .txt), a table (.csv .tsv .parquet .jsonl) or a DataFrame.
        input: the column of texts, or of paths relative to the table (to the current folder for a DataFrame).
            For tables of features: leave out, or the one column to use.
        label: the label column, or several columns of 0 and 1 joined by commas; or NAME=REGEX, which reads the class
            off the files' names, of a folder without class folders too: see headstart.data.names.
        group: the column of what must stay on one side of a split; "none" so that none is taken by its name; or
            NAME=REGEX, which reads it off the files' names.
        time: the column to order splits by; numbers or ISO dates.

    Raises:
        DataError: nothing to learn from there; the message says why.
        OptionError: an unknown modality or task.
        MissingLayerError: .parquet without pyarrow.
    """
    return _read(data, Wanted(modality, task, input, label, group, time))


def read_for_model(
    data: str | os.PathLike[str] | DataFrame,
    modality: Modality,
    task: Task,
    classes: tuple[str, ...],
    *,
    columns: tuple[str, ...] = (),
    input: str | None = None,  # noqa: A002
    label: str | None = None,
    group: str | None = None,
    usual_input: str | None = None,
    usual_labels: tuple[str, ...] = (),
) -> Dataset:
    """Read labelled data to evaluate a model on: codes refer to the model's classes, the matrix has its columns.

    One class alone is enough here, and rows whose label is none of the classes are left out with that reason.

    Args:
        columns: for tables of features, the model's `Dataset.columns`.
        input: the column of texts or paths, of no meaning where the data are a folder: a model learned from a table
            may be evaluated on one.
        usual_input, usual_labels: the columns of the fit: taken where the table has them and no other is named.

    Raises:
        DataError: as for `read`; also a column of the model that is absent.
    """
    wanted = Wanted(
        modality,
        task,
        input,
        label,
        group,
        classes=classes,
        columns=columns,
        usual_input=usual_input,
        usual_labels=usual_labels,
    )
    if isinstance(data, (str, os.PathLike)) and is_folder(Path(data)):
        wanted = replace(wanted, input=None)
    return _read(data, wanted)


def _read(data: str | os.PathLike[str] | DataFrame, wanted: Wanted) -> Dataset:
    if is_frame(data):
        return read_table(from_frame(cast("DataFrame", data)), wanted)
    if not isinstance(data, (str, os.PathLike)):
        raise DataError(f"data is a {type(data).__name__}; expected a folder, a table file or a pandas DataFrame")
    if data == "":
        raise DataError("data is an empty name; expected a folder, a table file or a pandas DataFrame")
    path = Path(os.path.expanduser(data))
    if is_folder(path):
        return read_folder(path, wanted)
    if not os.path.exists(path):
        raise DataError(f"{str(path)!r}: no such file or folder")
    if not is_table_name(path):
        raise DataError(
            f"{path} is no folder and no table; expected class folders or one of {' '.join(TABLE_SUFFIXES)}"
        )
    return read_table(load_table(path), wanted)


def read_table(table: Table, wanted: Wanted) -> Dataset:
    """The labelled rows of a table, in its order.

    Raises:
        DataError: a named column is absent, a role cannot be told, or no row can be used.
    """
    roles = infer_roles(table, wanted)
    contents = read_rows(table, roles, wanted.columns)
    reasons, notes = dict(contents.reasons), [*table.notes, *roles.notes, *contents.notes]
    times = None
    if roles.time is not None:
        times, without = read_times(table.columns[roles.time], roles.time)
        reasons.update(without)
    names = row_names(table, roles.id)
    usable = np.array([i for i in range(len(table)) if i not in reasons], np.int64)
    if not len(usable):
        cell = table.columns[roles.inputs[0]][0] if roles.modality in FILES else None
        hint = elsewhere(str(cell), table.folder) if cell is not None else ""
        raise DataError(f"none of the {len(table)} rows of {table.name} can be used: {names[0]}: {reasons[0]}{hint}")
    files = file_names(table, roles)
    labels = _labels(table, roles, usable, wanted, files)
    _refuse_transcripts(table, roles, wanted, labels)
    kept = usable[labels.kept]
    reasons.update({int(usable[i]): reason for i, reason in labels.reasons.items()})
    groups, said = _groups(table, roles, kept, files)
    notes += said
    if groups is not None and not wanted.classes:
        named = f"column {roles.group!r}" if roles.group_part is None else str(roles.group_part)
        refuse_uncheckable(labels.target, groups, named)
    if groups is None and files is not None and wanted.group is None and not wanted.classes:
        notes += guess_note([files[i] for i in kept], labels.target)
    data = Dataset(
        name=table.name,
        modality=roles.modality,
        items=take_items(contents.items, kept),
        ids=tuple(names[i] for i in kept),
        target=labels.target,
        groups=groups,
        times=None if times is None else times[kept],
        columns=contents.columns,
        input=None if roles.modality == "table" else roles.inputs[0],
        labels=roles.labels,
        time=roles.time,
        skipped=skipped_rows(reasons, names, table.bad),
    )
    return replace(data, notes=(*notes, *labels.notes, *contradictions(data)))


def _refuse_transcripts(table: Table, roles: Roles, wanted: Wanted, labels: Labels) -> None:
    """Raise DataError where a guessed column of sounds' labels has the name of transcripts, and most texts once."""
    named = columns_named(roles.labels, TRANSCRIPT_NAMES)
    settled = wanted.label or wanted.task or wanted.classes
    if settled or not named or roles.modality != "sound" or not labels.target.exclusive:
        return
    counts = np.bincount(labels.target.y)
    if 2 * np.count_nonzero(counts == 1) > len(counts):
        raise DataError(
            f"column {named[0]!r} of {table.name} seems to hold transcripts, no classes: add --task transcribe to "
            "learn to write down what is said, or name a column of classes with --label"
        )


def _labels(table: Table, roles: Roles, rows: np.ndarray, wanted: Wanted, files: list[str] | None) -> Labels:
    if roles.label_part is not None:
        parts = _read_off(roles.label_part, files, rows, table)
        return labels_of(parts, roles.label_part.name, wanted.task, wanted.classes)
    if len(roles.labels) > 1:
        if wanted.task not in (None, "multilabel"):
            raise DataError(f"several label columns make task multilabel, not {wanted.task}; name one column")
        columns = {name: [table.columns[name][i] for i in rows] for name in roles.labels}
        return read_label_columns(columns, wanted.classes)
    column = roles.labels[0]
    return read_labels([table.columns[column][i] for i in rows], column, wanted.task, wanted.classes)


def _groups(
    table: Table, roles: Roles, rows: np.ndarray, files: list[str] | None
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """(n,) codes of the groups of `rows`, or None; and notes."""
    if roles.group_part is not None:
        return groups_of(roles.group_part, _read_off(roles.group_part, files, rows, table))
    if roles.group is not None:
        return group_codes([table.columns[roles.group][i] for i in rows])
    return None, ()


def _read_off(part: NamePart, files: list[str] | None, rows: np.ndarray, table: Table) -> list[str]:
    """What the pattern finds in the names of the files in `rows`.

    Raises:
        DataError: the items are no files, or some names have no such part.
    """
    if files is None:
        raise DataError(
            f"{part.asked} is read off the names of files, and the items of {table.name} are none: name a column"
        )
    return part.of([files[i] for i in rows])
