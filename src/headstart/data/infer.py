"""Which column of a table is what, and of which modality the items are. Each decision becomes a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from headstart.data.cells import number_share
from headstart.data.column_names import LABEL_NAMES, columns_named
from headstart.data.dataset import MODALITIES, Modality
from headstart.data.find_input import find_input
from headstart.data.groups import NO_GROUPS, Groups, likely_groups
from headstart.data.looks import is_flags, names_rows, sample
from headstart.data.matrix import base_columns
from headstart.data.names import NamePart, name_part
from headstart.data.table import Table
from headstart.errors import DataError, OptionError
from headstart.tasks import TASKS, Task


@dataclass(frozen=True)
class Wanted:
    """What the caller settled; None is for inference.

    Attributes:
        label: a column, several of 0 and 1 joined by commas, or NAME=REGEX; see headstart.data.names.
        group: a column, NO_GROUPS, or NAME=REGEX.
        classes: those of a model to evaluate; see labels.read_labels.
        columns: the feature columns of a model for tables; see matrix.rebuild.
        usual_input, usual_labels: the columns that the model learned from, taken where the table has them and nothing
            else was said.
    """

    modality: Modality | None = None
    task: Task | None = None
    input: str | None = None
    label: str | None = None
    group: str | None = None
    time: str | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    usual_input: str | None = None
    usual_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise OptionError for a modality or task that does not exist."""
        for name, value, known in (("modality", self.modality, MODALITIES), ("task", self.task, TASKS)):
            if value is not None and value not in known:
                near = get_close_matches(str(value), known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise OptionError(f"{name} {value!r} is unknown; expected one of {', '.join(known)}{hint}")


@dataclass(frozen=True)
class Roles:
    """What each column is.

    Attributes:
        inputs: files, texts: the one column of paths or texts; table: the columns to make features of.
        labels: one column, several of 0 and 1, or none: where items are only to be predicted, or `label_part` is there.
        id: a column of unique names called "id", or None.
        label_part, group_part: what is read off the names of files instead of a column.
    """

    modality: Modality
    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    group: str | None
    time: str | None
    id: str | None
    notes: tuple[str, ...]
    label_part: NamePart | None = None
    group_part: NamePart | None = None


def infer_roles(table: Table, wanted: Wanted, *, labelled: bool = True) -> Roles:
    """Decide the role of each column of `table`.

    Args:
        labelled: False for items to predict: no column is taken for a label.

    Raises:
        DataError: a named column is absent, or no input or label column can be told.
    """
    notes: list[str] = []
    label_part = name_part("label", wanted.label, table.columns)
    group_part = name_part("group", wanted.group, table.columns)
    seek_label = labelled and label_part is None
    labels = _named_labels(table, wanted) if seek_label else ()
    if seek_label and not labels and set(wanted.usual_labels) <= set(table.columns):
        labels = wanted.usual_labels
    none = group_part is not None or (wanted.group == NO_GROUPS and NO_GROUPS not in table.columns)
    named = None if none else wanted.group
    given = [check_column(table, name) for name in (wanted.input, named, wanted.time) if name]
    _refuse_leak(wanted, labels)
    used = base_columns(wanted.columns, tuple(table.columns)) if wanted.columns else ()
    free = [name for name in table.columns if name not in given and name not in labels]
    id_ = _find_id(table, free)
    unknown = [name for name in free if name not in (id_, wanted.usual_input, *used)] if labelled else []
    groups = Groups(named, likely_groups(table.columns, unknown), settled=wanted.group is not None)
    free = [name for name in free if name not in (id_, *groups.aside)]
    if seek_label and not labels:
        labels = columns_named([name for name in free if name != wanted.usual_input], LABEL_NAMES)[:1]
        if labels:
            notes.append(f"label: column {labels[0]!r}, by its name")
    free = [name for name in free if name not in labels]

    modality, source, why = find_input(table, free, wanted.modality, wanted.input, wanted.usual_input)
    if why:
        notes.append(why)
    if seek_label and not labels:
        others = [name for name in free if name != source and name not in used]
        if source and not none:  # the last is taken: what looks like groups only where nothing else will do
            others.sort(key=[one.name for one in groups.likely].__contains__, reverse=True)
        if not others and groups.taken is not None and not groups.taken.sure:
            others = [groups.taken.name]
        labels = (_guess_label(table, others, modality),)
        notes.append(f"label: column {labels[0]!r}, the last that can be one")
    rest = [name for name in free if name != source and name not in labels]
    inputs = (source,) if source else tuple(rest)
    if not inputs:
        aside = f"; {', '.join(groups.aside)} by their names look like groups" if groups.aside else ""
        named = ", ".join(labels)
        raise DataError(
            f"{table.name} has no column to learn from besides the label {named}{aside}; name one with --input"
        )
    if labelled:
        group, said = groups.settle(rest if source else (), () if source else used or rest, "".join(labels[:1]))
        notes += said
        unused = [name for name in rest if source and name != group]
        if unused:
            listed = ", ".join(unused[:8]) + " ..." * (len(unused) > 8)
            notes.append(f"not used: column{'s' if len(unused) > 1 else ''} {listed}")
        if seek_label and wanted.label is None and is_flags(table.columns[labels[0]]):
            notes += _flags_note(labels[0], [name for name in unused if is_flags(table.columns[name])])
    group = group if labelled else None
    return Roles(modality, inputs, labels, group, wanted.time, id_, tuple(notes), label_part, group_part)


def _flags_note(label: str, others: Sequence[str]) -> tuple[str, ...]:
    """A hint at several labels at once, where more columns hold nothing but 0 and 1."""
    if not others:
        return ()
    few = [*others[:3], "..."] if len(others) > 3 else list(others)
    how = f"--label {','.join([*few, label])}"
    return (f"{', '.join(few)} hold 0 and 1 as {label!r} does: for several labels at once, {how}",)


def _refuse_leak(wanted: Wanted, labels: Sequence[str]) -> None:
    """Raise DataError where the label would be learned from itself, or be kept apart from itself."""
    for role, name in (("input", wanted.input), ("group", wanted.group)):
        if name is not None and name in labels:
            raise DataError(f"column {name!r} is named as the label and as the {role}: name another for one of them")


def check_column(table: Table, name: str) -> str:
    """`name`, if the table has such a column.

    Raises:
        DataError: it has none; the message lists those there are and suggests the nearest.
    """
    if name in table.columns:
        return name
    there = list(table.columns)
    near = get_close_matches(name, there, n=1) or [other for other in there if other.lower() == name.lower()]
    listed = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise DataError(f"{table.name} has no column {name!r}; there are {listed}{hint}")


def _named_labels(table: Table, wanted: Wanted) -> tuple[str, ...]:
    if wanted.label is None:
        return ()
    if wanted.label in table.columns or "," not in wanted.label:
        return (check_column(table, wanted.label),)
    return tuple(dict.fromkeys(check_column(table, name.strip()) for name in wanted.label.split(",")))


def _find_id(table: Table, free: Sequence[str]) -> str | None:
    name = next((name for name in free if name.lower().strip() == "id"), None)
    if name is None:
        return None
    cells = table.columns[name]
    unique = len({str(cell) for cell in cells}) == len(cells) and None not in cells
    return name if unique and not any(isinstance(cell, list) for cell in cells) else None


def _guess_label(table: Table, free: Sequence[str], modality: Modality) -> str:
    """The last column but for dates and names of rows; beside texts or images, the last that recurs or is numbers."""
    if not free:
        raise DataError(f"{table.name} has no column for the label; name one with label= ({', '.join(table.columns)})")
    if modality == "table" or len(free) == 1:
        return next((name for name in reversed(free) if not names_rows(table.columns[name])), free[-1])
    for name in reversed(free):
        cells = sample(table.columns[name])
        if (
            any(isinstance(c, list) for c in cells)
            or number_share(cells) == 1
            or 2 * len({*map(str, cells)}) <= len(cells)
        ):
            return name
    raise DataError(f"{table.name}: which column is the label? Name it with label= (there are {', '.join(free)})")
