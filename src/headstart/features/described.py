"""Files described without a source: what the no-transfer baseline looks at, or hears."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ItemError
from headstart.features.files import read_file
from headstart.features.reader import Reader
from headstart.features.windowed import windowed
from headstart.progress import SILENT, Progress

_BATCH = 16


def describe_files(
    items: Sequence[Path], reader: Reader, *, progress: Progress = SILENT
) -> tuple[NDArray[np.float16], dict[int, str]]:
    """The descriptors of n files, and what could not be read.

    Returns:
        (n, d) float16, the same as `embed` gives; and position -> reason of each failure, whose row is zero.
    """
    described = np.zeros((len(items), reader.space.width), np.float16)
    failures: dict[int, str] = {}

    def work(start: int) -> int:
        batch = items[start : start + _BATCH]
        for position, item in enumerate(batch, start):
            try:
                data = read_file(Path(item), reader.too_large)
                described[position] = reader.describe([reader.see(data, None, described=True).look])[0]
            except ItemError as error:
                failures[position] = str(error)
        return len(batch)

    jobs = (partial(work, start) for start in range(0, len(items), _BATCH))
    with progress.bar("describe", "no transfer", len(items), reader.unit) as bar:
        for done in windowed(jobs, os.cpu_count() or 1):
            bar.advance(done)
    return described, dict(sorted(failures.items()))
