"""A labelled data set: what the items are and what is to be learned of them. Items are named, not decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.tasks import Target

Modality = Literal["image", "text", "sound", "table"]
MODALITIES: tuple[Modality, ...] = ("image", "text", "sound", "table")
FILES: tuple[Modality, ...] = ("image", "sound")  # those whose items are paths of files, which are not opened here

Items = Sequence[Path] | Sequence[str] | NDArray[np.float64]


@dataclass(frozen=True)
class Skipped:
    """An item that was left out, and why.

    Attributes:
        before: of inputs to predict: how many items of the data set come before it.
    """

    id: str
    reason: str
    before: int = 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """n items of one modality.

    Attributes:
        name: what to call it in print: the folder's or file's name.
        modality: image, text, sound, or table (rows of numbers).
        items: image, sound: n paths; text: n strings; table: (n, d) float64, NaN where a cell is empty.
        ids: n names that a person recognises: a path relative to the data, or the row's number; unique where there
            are labels. Inputs to predict are named as they were given: a file, a text itself, a path in a table.
        target: the labels, or None for items to predict.
        groups: (n,) int64 codes of what must stay on one side of a split (a patient), or None.
        times: (n,) float64 for time-ordered splits, or None.
        columns: table only: the d feature names.
        input: the table column that held the items; None for a folder, and for tables of features.
        labels: the table columns that held the labels; none for a folder.
        time: the table column that held the times, or None.
        skipped: items left out while reading, with reasons.
        notes: what was inferred, one sentence each, to be said aloud.
    """

    name: str
    modality: Modality
    items: Items
    ids: tuple[str, ...]
    target: Target | None = None
    groups: NDArray[np.int64] | None = None
    times: NDArray[np.float64] | None = None
    columns: tuple[str, ...] = ()
    input: str | None = None
    labels: tuple[str, ...] = ()
    time: str | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: NDArray[np.int64]) -> Dataset:
        """The items at positions `index`, with their labels and groups."""
        items = self.items[index] if isinstance(self.items, np.ndarray) else [self.items[i] for i in index]
        return replace(
            self,
            items=items,
            ids=tuple(self.ids[i] for i in index),
            target=None if self.target is None else self.target.take(index),
            groups=None if self.groups is None else self.groups[index],
            times=None if self.times is None else self.times[index],
        )
