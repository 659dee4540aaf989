"""What a split cannot show, in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Dataset
from headstart.data.labels import some
from headstart.data.splits import Fold
from headstart.errors import DataError
from headstart.tasks import Target

Indices = NDArray[np.int64]


def split_notes(data: Dataset, target: Target, split: Sequence[Fold], *, grouped: bool) -> tuple[str, ...]:
    """All that is said of a split: of time, of groups tested one by one, and of the classes that it does not check."""
    return (*time_notes(data, split), *alone_notes(data, split), *unchecked_notes(target, split, grouped=grouped))


def time_field(data: Dataset, split: Sequence[Fold]) -> dict[str, str | int] | None:
    """What a report says of a split in time: by which column, and how many items no fold tests."""
    if data.time is None:
        return None
    tested = np.unique(np.concatenate([fold.test for fold in split]))
    return {"column": data.time, "never_scored": len(data) - len(tested)}


def time_notes(data: Dataset, split: Sequence[Fold]) -> tuple[str, ...]:
    """What is said of a split in time; nothing of another."""
    if data.times is None:
        return ()
    tested = np.zeros(len(data), bool)
    learned = np.zeros(len(data), bool)
    for fold in split:
        tested[fold.test] = True
        learned[fold.train] = True
    notes = [f"time: what is tested is later by {data.time!r} than all that is learned from"]
    start = ~tested & learned
    if start.any():
        notes.append(f"{_earliest(data.times, start, tested)} of {len(data)} are learned from and never scored")
    neither = np.count_nonzero(~tested & ~learned)
    if neither:
        notes.append(f"{neither} are neither, as their groups are tested")
    return ("; ".join(notes),)


def alone_notes(data: Dataset, split: Sequence[Fold]) -> tuple[str, ...]:
    """What is said where each group is tested in a fold of its own; nothing of another split."""
    if data.groups is None or data.times is not None:
        return ()
    tested = [np.unique(data.groups[fold.test]) for fold in split]
    distinct = len(np.unique(data.groups))
    if distinct != len(split) or any(len(groups) != 1 for groups in tested):
        return ()
    return (f"{distinct} folds: each of the {distinct} groups is tested by what was learned from the others",)


def _earliest(times: NDArray[np.float64], start: NDArray[np.bool_], tested: NDArray[np.bool_]) -> str:
    """How many items only serve to learn from, and that they are the earliest where they are."""
    count = np.count_nonzero(start)
    return f"the earliest {count}" if times[start].max() < times[tested].min() else f"{count}"


def unchecked(target: Target, split: Sequence[Fold]) -> tuple[str, ...]:
    """The classes, or labels, of two items or more that no fold both learns and tests; none of regression."""
    if target.task == "regression":
        return ()
    both = np.zeros(target.n_outputs, bool)
    for fold in split:
        both |= (_counts(target, fold.train) > 0) & (_counts(target, fold.test) > 0)
    several = _counts(target, np.arange(len(target))) > 1
    return tuple(target.classes[j] for j in np.flatnonzero(several & ~both))


def unchecked_notes(target: Target, split: Sequence[Fold], *, grouped: bool) -> tuple[str, ...]:
    """What is said of the classes that no fold both learns and tests.

    Args:
        grouped: whether groups are kept whole: then these are the cause, unless it is time.
    """
    names = unchecked(target, split)
    if not names:
        return ()
    one = len(names) == 1
    kind = (
        ("label is" if one else "labels are") if target.task == "multilabel" else ("class is" if one else "classes are")
    )
    why = ", since whole groups are on one side" if grouped else ""
    so = "" if target.task == "multilabel" else ": each item of theirs that is tested counts as wrong"
    return (f"{len(names)} {kind} never learned where tested{why}{so}: {some(names)}",)


def refuse_uncheckable(target: Target, groups: Indices, named: str) -> None:
    """Raise DataError where each class is in one group only: what is tested could then never have been learned.

    Args:
        named: what the groups are, in words: "column 'patient'".
    """
    if not target.exclusive or len(np.unique(groups)) < 2:
        return
    codes = target.y.astype(np.int64)
    pairs = np.unique(np.column_stack((codes, groups)), axis=0)
    if len(pairs) == len(np.unique(codes)):
        raise DataError(
            f"each of the {len(pairs)} classes is in one group of {named} only, so none can be both learned and "
            f"checked: name another with --group, or none with --group none"
        )


def _counts(target: Target, rows: Indices) -> Indices:
    """(C,) items of each class or label among `rows`."""
    y = target.y[rows].astype(np.int64)
    counts: Indices = np.bincount(y, minlength=target.n_outputs) if target.exclusive else y.sum(axis=0)
    return counts
