"""Labels to targets: two classes, many, many at once, or a number."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.cells import Cell, as_number, as_numbers, is_missing_word, number_share
from headstart.data.written_lists import as_lists
from headstart.errors import DataError
from headstart.tasks import Target, Task

SEPARATORS = "|;"
COMMAS = 0.1  # the share of labels with a comma from which on it may be a separator
MAX_CLASSES = 10_000


@dataclass(frozen=True, eq=False)
class Labels:
    """Targets of the rows that have a label.

    Attributes:
        target: of the kept rows, in order.
        kept: (m,) int64 positions of these rows.
        reasons: position of each other row -> why it was left out.
        notes: what was inferred.
    """

    target: Target
    kept: NDArray[np.int64]
    reasons: dict[int, str]
    notes: tuple[str, ...]


def read_labels(cells: Sequence[Cell], column: str, task: Task | None = None, classes: Sequence[str] = ()) -> Labels:
    """Turn the cells of the label column `column` into a target.

    Args:
        task: None to infer it.
        classes: the classes of a model to evaluate. Codes then refer to these, in this order, one class alone will do,
            and rows with another label are left out. Empty: the classes are those found.

    Raises:
        DataError: no labels, one class only, or cells that are not what `task` needs.
    """
    reasons = {i: "no label" for i, cell in enumerate(cells) if _is_missing(cell)}
    kept = np.array([i for i in range(len(cells)) if i not in reasons], np.int64)
    if not len(kept):
        raise DataError(f"the label column {column!r} is empty in all {len(cells)} rows that can be read")
    there = [cells[i] for i in kept]
    if task in (None, "multilabel"):
        there = as_lists(there) or there
    chosen, why = (task, "") if task else infer_task(there)
    if chosen == "regression":
        labels = _numbers(there, column, constant=bool(classes))
    elif chosen == "multilabel":
        labels = _encode(_split_all(there), column, chosen, classes)
    else:
        labels = labels_from_names(class_names(there), column, chosen, classes)
    reasons.update({int(kept[i]): reason for i, reason in labels.reasons.items()})
    notes: tuple[str, ...] = (f"task {chosen}: {why}",) if why else ()
    if chosen == "multilabel" and len(kept) < len(cells) and any(isinstance(cell, str) for cell in there):
        notes += (
            f"{len(cells) - len(kept)} rows with an empty label are left out, since it may be unknown; "
            f"where it is known that no label holds, write a lone {_used(there)!r}",
        )
    if task in (None, "multilabel") and chosen != "regression":
        notes += _comma_notes(there)
    return Labels(labels.target, kept[labels.kept], reasons, notes + labels.notes)


def labels_from_names(names: Sequence[str], column: str, task: Task | None, classes: Sequence[str] = ()) -> Labels:
    """A target with one class an item, from n class names; the other arguments as for `read_labels`.

    Raises:
        DataError: one class only, or not two for task binary.
    """
    if task is None:
        task = "binary" if len(classes or set(names)) == 2 else "multiclass"
    return _encode([[name] for name in names], column, task, classes)


def read_label_columns(columns: Mapping[str, Sequence[Cell]], known: Sequence[str] = ()) -> Labels:
    """A multilabel target from one column of 0 and 1 a class; class order is alphabetical.

    Args:
        known: the classes of a model to evaluate, in its order.

    Raises:
        DataError: a cell that is not 0, 1, true or false; or not a column for each of the `known`.
    """
    if known and set(known) != set(columns):
        raise DataError(f"label columns {some(sorted(columns))} are not the model's classes ({some(known)})")
    classes = tuple(known) or tuple(sorted(columns))
    n = len(columns[classes[0]])
    y = np.zeros((n, len(classes)), np.uint8)
    reasons: dict[int, str] = {}
    for j, name in enumerate(classes):
        for i, cell in enumerate(columns[name]):
            if _is_missing(cell):
                reasons[i] = f"no label in column {name!r}"
                continue
            word = str(cell).strip().lower()
            value = {"true": 1.0, "false": 0.0}.get(word, as_number(cell))
            if value not in (0.0, 1.0):
                raise DataError(f"label column {name!r} has {cell!r}; several label columns must hold 0 or 1")
            y[i, j] = value
    kept = np.array([i for i in range(n) if i not in reasons], np.int64)
    if not len(kept):
        raise DataError(f"the label columns {', '.join(classes)} are empty in every row")
    target = Target("multilabel", y[kept], classes)
    return Labels(target, kept, reasons, (f"labels: {len(classes)} columns of 0 and 1, many at once", *_lonely(target)))


def infer_task(cells: Sequence[Cell]) -> tuple[Task, str]:
    """The task that these non-empty labels look like, and why in a few words."""
    if any(isinstance(cell, list) for cell in cells):
        return "multilabel", "labels are lists"
    separator = _separator(cells)
    if separator:
        return "multilabel", f"labels are joined by {separator!r}"
    if number_share(cells) == 1.0:
        values = as_numbers(cells)
        numbers = np.unique(values[~np.isnan(values)])
        if (numbers != np.trunc(numbers)).any():
            return "regression", f"labels are numbers with fractions, {len(numbers)} distinct"
        if len(numbers) > 20 and len(numbers) > 0.1 * len(cells):
            return "regression", f"labels are {len(numbers)} distinct numbers in {len(cells)} rows"
    classes = len(set(class_names(cells)))
    return ("binary" if classes == 2 else "multiclass"), f"{classes} distinct labels"


def class_names(cells: Sequence[Cell]) -> list[str]:
    """Labels as class names: whole numbers without a point ("1.0" is "1"), other text as written, in NFC.

    One label that is no whole number, "NA" for one, and all stay as written.
    """
    numbers = as_numbers(cells)
    whole = np.isfinite(numbers) & (numbers == np.trunc(numbers))
    if whole.all() and not any(isinstance(cell, bool) for cell in cells):
        with suppress(ValueError):  # "50 %" stays as written
            return [_whole_name(cell) for cell in cells]
    return [normal(str(cell)) for cell in cells]


def _whole_name(cell: Cell) -> str:
    # Python's integers keep every digit of a long code; a float would not.
    text = str(cell).strip()
    return text.lstrip("+") if text.lstrip("+-").isdigit() else str(int(float(text)))


def normal(name: str) -> str:
    """A class name in Unicode NFC, so that the same word from two systems is one class."""
    return unicodedata.normalize("NFC", name.strip())


def _is_missing(cell: Cell) -> bool:
    # "NA" and "None" may be classes; NaN is what pandas writes for nothing.
    return cell is None or (isinstance(cell, str) and cell.lower() in ("", "nan"))


def _separator(cells: Sequence[Cell]) -> str | None:
    """The separator of joined labels: one whose parts recur in other labels ("a|b" beside "a")."""
    distinct = {cell for cell in cells if isinstance(cell, str)}
    for separator in SEPARATORS:
        joined = [cell for cell in distinct if separator in cell]
        if joined:
            seen = Counter(part for cell in distinct for part in set(_parts(cell, separator)))
            if any(seen[part] > 1 for cell in joined for part in _parts(cell, separator)):
                return separator
    return None


def _comma_notes(cells: Sequence[Cell]) -> tuple[str, ...]:
    """A hint where many labels look as if they were several joined by commas: most parts stand in other labels too.

    They are not split by themselves: "Portland, OR" has a comma, and is one.
    """
    texts = [cell for cell in cells if isinstance(cell, str)]
    joined = sorted({cell for cell in texts if "," in cell})
    count = sum("," in cell for cell in texts)
    if len(joined) < 2 or count < COMMAS * len(cells) or _separator(cells):
        return ()
    seen = Counter(part for cell in set(texts) for part in set(_parts(cell, ",")))
    again = [cell for cell in joined if all(seen[part] > 1 for part in _parts(cell, ","))]
    if 2 * len(again) < len(joined):
        return ()
    return (
        f"{count} labels hold commas, and their parts recur ({again[0]!r}): if they are several labels at once, join "
        f"them by ';' or give lists, with --task multilabel",
    )


def _parts(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _used(cells: Sequence[Cell]) -> str:
    """The separator of labels that are known to be joined."""
    return next((s for s in SEPARATORS if any(isinstance(c, str) and s in c for c in cells)), SEPARATORS[0])


def _split_all(cells: Sequence[Cell]) -> list[list[str]]:
    used = _used(cells)
    out = []
    for cell in cells:
        parts = cell if isinstance(cell, list) else _parts(cell, used) if isinstance(cell, str) else [cell]
        out.append([normal(str(part)) for part in parts if part is not None])
    return out


def _encode(names: Sequence[Sequence[str]], column: str, task: Task, classes: Sequence[str]) -> Labels:
    found = {name for labels in names for name in labels}
    known = tuple(classes) or tuple(sorted(found))
    if len(known) > MAX_CLASSES:
        raise DataError(f"{column!r} has {len(known):,} distinct labels; at most {MAX_CLASSES:,} can be learned")
    if len(known) < 2 and not (classes or task == "multilabel"):
        raise DataError(f"only one class, {known[0]!r}, in {len(names)} items; at least two are needed")
    if not known:
        raise DataError(f"no item of {column!r} has any label; expected at least one class")
    if task == "binary" and len(known) != 2:
        raise DataError(f"task binary needs two classes; {column!r} has {len(known)} ({some(known)})")
    code = {name: j for j, name in enumerate(known)}
    strange = {i: next((name for name in labels if name not in code), None) for i, labels in enumerate(names)}
    reasons = {i: f"label {name!r} is none of the model's {len(known)} classes" for i, name in strange.items() if name}
    kept = np.array([i for i in range(len(names)) if i not in reasons], np.int64)
    if not len(kept):
        raise DataError(f"no label of {column!r} is one of the model's classes ({some(known)})")
    if task == "multilabel":
        y = np.zeros((len(kept), len(known)), np.uint8)
        for row, i in zip(y, kept, strict=True):
            row[[code[name] for name in names[i]]] = 1
        target = Target(task, y, known)
    else:
        target = Target(task, np.array([code[names[i][0]] for i in kept], np.int64), known)
    return Labels(target, kept, reasons, () if classes else (*_alike(known), *_lonely(target)))


def _numbers(cells: Sequence[Cell], column: str, *, constant: bool) -> Labels:
    values: dict[int, float] = {}
    reasons: dict[int, str] = {}
    for i, cell in enumerate(cells):
        value = as_number(cell)
        if value is not None and math.isfinite(value):
            values[i] = value
        elif value is None and not is_missing_word(cell):
            raise DataError(f"task regression needs numbers; the label column {column!r} has {cell!r}")
        else:
            reasons[i] = f"the label {cell!r} is not a finite number"
    if not values:
        raise DataError(f"the label column {column!r} has no finite number")
    target = Target("regression", np.array(list(values.values())), (column,))
    low, high = min(values.values()), max(values.values())
    shown = next((i for i in values if isinstance(cells[i], str) and set("$€£¥%,") & set(cells[i])), None)
    read = "" if shown is None else f"; {cells[shown]!r} is read as {values[shown]:.10g}"
    if low == high and not constant:
        raise DataError(f"the label column {column!r} is {low:g} in every row; there is nothing to learn")
    return Labels(
        target, np.array(list(values), np.int64), reasons, (f"labels: numbers from {low:g} to {high:g}{read}",)
    )


def _alike(classes: Sequence[str]) -> tuple[str, ...]:
    """A note where classes differ in capitals or blanks only, as slips of typing do."""
    first: dict[str, str] = {}
    pairs = [(first.setdefault("".join(name.casefold().split()), name), name) for name in classes]
    slips = [f"{one!r} and {other!r}" for one, other in pairs if one != other]
    if not slips:
        return ()
    return (f"labels that differ in capitals or blanks only are taken for different classes: {some(slips)}",)


def _lonely(target: Target) -> tuple[str, ...]:
    if target.task == "multilabel":
        counts = target.y.sum(axis=0, dtype=np.int64)
    else:
        counts = np.bincount(target.y.astype(np.int64), minlength=target.n_outputs)
    lonely = [target.classes[j] for j in np.flatnonzero(counts == 1)]
    if not lonely:
        return ()
    has = "class has" if len(lonely) == 1 else "classes have"
    return (f"{len(lonely)} {has} one item, which cannot be both learned and checked: {some(lonely)}",)


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
