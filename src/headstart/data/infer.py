"""Which column of a table is what, and of which modality the items are. Each decision becomes a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from headstart.data.cells import number_share
from headstart.data.dataset import MODALITIES, Modality
from headstart.data.groups import NO_GROUPS, Groups, likely_groups
from headstart.data.looks import image_share, is_strings, sample, words
from headstart.data.matrix import base_columns
from headstart.data.table import Table
from headstart.errors import DataError, OptionError
from headstart.tasks import TASKS, Task

LABEL_NAMES = (
    "label", "labels", "class", "classes", "target", "targets", "category", "categories", "y", "intent", "sentiment",
    "diagnosis", "species", "outcome", "tag", "tags", "topic", "genre",
)  # fmt: skip
TEXT_NAMES = ("text", "texts", "sentence", "utterance", "question", "review", "comment", "message", "body", "document")


@dataclass(frozen=True)
class Wanted:
    """What the caller settled; None is for inference.

    Attributes:
        label: a column, or several of 0 and 1 joined by commas.
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
        inputs: image, text: the one column of paths or texts; table: the columns to make features of.
        labels: one column, several of 0 and 1, or none where items are only to be predicted.
        id: a column of unique names called "id", or None.
    """

    modality: Modality
    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    group: str | None
    time: str | None
    id: str | None
    notes: tuple[str, ...]


def infer_roles(table: Table, wanted: Wanted, *, labelled: bool = True) -> Roles:
    """Decide the role of each column of `table`.

    Args:
        labelled: False for items to predict: no column is taken for a label.

    Raises:
        DataError: a named column is absent, or no input or label column can be told.
    """
    notes: list[str] = []
    labels = _named_labels(table, wanted) if labelled else ()
    if labelled and not labels and set(wanted.usual_labels) <= set(table.columns):
        labels = wanted.usual_labels
    named = None if wanted.group == NO_GROUPS and NO_GROUPS not in table.columns else wanted.group
    given = [check_column(table, name) for name in (wanted.input, named, wanted.time) if name]
    _refuse_leak(wanted, labels)
    used = base_columns(wanted.columns, tuple(table.columns)) if wanted.columns else ()
    free = [name for name in table.columns if name not in given and name not in labels]
    id_ = _find_id(table, free)
    unknown = [name for name in free if name not in (id_, wanted.usual_input, *used)] if labelled else []
    groups = Groups(named, likely_groups(table.columns, unknown), settled=wanted.group is not None)
    free = [name for name in free if name not in (id_, *groups.aside)]
    if labelled and not labels:
        labels = _by_name([name for name in free if name != wanted.usual_input], LABEL_NAMES)
        if labels:
            notes.append(f"label: column {labels[0]!r}, by its name")
    free = [name for name in free if name not in labels]

    modality, source, why = _find_input(table, free, wanted)
    if why:
        notes.append(why)
    if labelled and not labels:
        others = [name for name in free if name != source and name not in used]
        if not others and groups.taken is not None and not groups.taken.sure:
            others = [groups.taken.name]
        labels = (_guess_label(table, others, modality),)
        notes.append(f"label: column {labels[0]!r}, the last that can be one")
    rest = [name for name in free if name != source and name not in labels]
    inputs = (source,) if source else tuple(rest)
    if not inputs:
        aside = f"; {', '.join(groups.aside)} by their names look like groups" if groups.aside else ""
        raise DataError(f"{table.name} has no column to learn from besides the label {', '.join(labels)}{aside}")
    if labelled:
        group, said = groups.settle(rest if source else (), () if source else used or rest, labels[0])
        notes += said
        unused = [name for name in rest if source and name != group]
        if unused:
            listed = ", ".join(unused[:8]) + " ..." * (len(unused) > 8)
            notes.append(f"not used: column{'s' if len(unused) > 1 else ''} {listed}")
    return Roles(modality, inputs, labels, group if labelled else None, wanted.time, id_, tuple(notes))


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


def _by_name(free: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    lower = {name.lower().strip(): name for name in reversed(free)}
    return next(((lower[name],) for name in names if name in lower), ())


def _find_id(table: Table, free: Sequence[str]) -> str | None:
    name = next((name for name in free if name.lower().strip() == "id"), None)
    if name is None:
        return None
    cells = table.columns[name]
    unique = len({str(cell) for cell in cells}) == len(cells) and None not in cells
    return name if unique and not any(isinstance(cell, list) for cell in cells) else None


def _find_input(table: Table, free: Sequence[str], wanted: Wanted) -> tuple[Modality, str | None, str]:
    """The modality, the one input column (None for a table of features), and a sentence ("" where all was given)."""
    modality = wanted.modality
    if modality == "table":
        return "table", wanted.input, ""
    if wanted.input:
        seen = sample(table.columns[wanted.input])
        found: Modality = "image" if image_share(seen) >= 0.8 else "text" if number_share(seen) < 0.95 else "table"
        return (
            modality or found,
            wanted.input,
            "" if modality else f"modality {found}: what column {wanted.input!r} holds",
        )
    if modality is not None and wanted.usual_input in free:
        return modality, wanted.usual_input, f"input: column {wanted.usual_input!r}, as in the model's fit"
    if modality in (None, "image"):
        best = max(free, key=lambda name: image_share(sample(table.columns[name])), default=None)
        if best is not None and image_share(sample(table.columns[best])) >= (0.8 if modality is None else 0.01):
            return "image", best, f"modality image: column {best!r} holds paths of images"
        if modality == "image":
            raise DataError(f"{table.name} has no column of image paths; name it with input=")
    text = _find_text(table, free, forced=modality == "text")
    if text is not None:
        return "text", text, f"modality text: column {text!r} holds texts"
    if modality == "text":
        raise DataError(f"{table.name} has no column of texts; name it with input=")
    return "table", None, "modality table: rows of numbers and categories"


def _find_text(table: Table, free: Sequence[str], *, forced: bool) -> str | None:
    """The column of texts, if the table is about texts: by its name, else long strings with hardly a number beside."""
    named = _by_name([name for name in free if number_share(sample(table.columns[name])) < 0.95], TEXT_NAMES)
    if named:
        return named[0]
    strings = [name for name in free if is_strings(table.columns[name])]
    if not strings:
        return free[0] if forced and len(free) == 1 else None
    longest = max(strings, key=lambda name: words(table.columns[name]))
    numbers = sum(number_share(sample(table.columns[name])) >= 0.95 for name in free)
    cells = table.columns[longest]
    prose = words(cells) >= 3 and numbers <= 2
    alone = numbers == 0 and len({*map(str, cells)}) > max(0.5 * len(cells), 10)
    return longest if forced or prose or alone else None


def _guess_label(table: Table, free: Sequence[str], modality: Modality) -> str:
    """The last column; beside texts or images, the last whose values recur or are numbers or lists."""
    if not free:
        raise DataError(f"{table.name} has no column for the label; name one with label= ({', '.join(table.columns)})")
    if modality == "table" or len(free) == 1:
        return free[-1]
    for name in reversed(free):
        cells = sample(table.columns[name])
        if (
            any(isinstance(c, list) for c in cells)
            or number_share(cells) == 1
            or 2 * len({*map(str, cells)}) <= len(cells)
        ):
            return name
    raise DataError(f"{table.name}: which column is the label? Name it with label= (there are {', '.join(free)})")
