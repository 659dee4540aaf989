"""Items that are copies of one another: on one side of every split, or what is tested would have been learned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Dataset
from headstart.features.blocks import Features
from headstart.features.paged import give_back, step


def copies(
    dataset: Dataset, features: Features | None, described: NDArray[np.float16] | None
) -> tuple[NDArray[np.int64] | None, str]:
    """A code for each item that copies share, and what to say of it; None and "" where there is nothing to keep whole.

    Files and texts are copies where the source, or what describes them without one, sees no difference: whatever their
    names are, or how a text is written in capitals. Rows of a table are not: few columns of few values recur in what is
    to be predicted too. Groups and times of the user's own decide where there are some.

    Args:
        features: of the first source, where there is one.
        described: what files are without a source.
    """
    if dataset.modality == "table" or dataset.groups is not None or dataset.times is not None:
        return None, ""
    first: dict[bytes, int] = {}
    codes = np.array([first.setdefault(key, len(first)) for key in _contents(dataset, features, described)], np.int64)
    more = len(codes) - len(first)
    if more == 0 or len(first) < 2:
        return None, ""
    repeated = int(np.argmax(np.bincount(codes)[codes] > 1))
    twin = int(np.flatnonzero(codes == codes[repeated])[1])
    what = "item is a copy" if more == 1 else "items are copies"
    return codes, (
        f"{more} {what} of another, as {dataset.ids[twin]} is of {dataset.ids[repeated]}: "
        "copies stay on one side of every split (--group names other groups)"
    )


def _contents(dataset: Dataset, features: Features | None, described: NDArray[np.float16] | None) -> Iterator[bytes]:
    """A key for each item, equal for equal contents."""
    rows = features.matrix if features is not None else described
    if rows is None:
        yield from (str(item).encode() for item in dataset.items)
        return
    for start in range(0, len(rows), step(rows.shape[1], rows.dtype)):
        part = rows[start : start + step(rows.shape[1], rows.dtype)]
        yield from (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in part)
        give_back(rows)
