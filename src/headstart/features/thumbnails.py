"""Thumbnails without a source: what the no-transfer baseline of images looks at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ItemError
from headstart.features.images import THUMBNAIL, look
from headstart.features.windowed import windowed
from headstart.progress import SILENT, Progress

_BATCH = 16


def thumbnails(items: Sequence[Path], *, progress: Progress = SILENT) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """The small views of n image files, and what could not be read.

    Returns:
        (n, 64, 64, 3) uint8 RGB, the same as `embed` gives; and position -> reason of each failure, whose row is zero.
    """
    small = np.zeros((len(items), THUMBNAIL, THUMBNAIL, 3), np.uint8)
    failures: dict[int, str] = {}

    def work(start: int) -> int:
        batch = items[start : start + _BATCH]
        for position, item in enumerate(batch, start):
            try:
                found = look(Path(item), None, thumbnail=True).thumbnail
                assert found is not None
                small[position] = found
            except ItemError as error:
                failures[position] = str(error)
        return len(batch)

    jobs = (partial(work, start) for start in range(0, len(items), _BATCH))
    with progress.bar("decode", "thumbnails", len(items), "images") as bar:
        for done in windowed(jobs, os.cpu_count() or 1):
            bar.advance(done)
    return small, dict(sorted(failures.items()))
