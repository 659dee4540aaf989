"""What trainings keep between runs: activations, checkpoints, results; a folder a data set and source.

It may be rebuilt, so it is bounded like the feature cache: past the bound the folders that were not used for longest
go first.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG
from typing import cast

import numpy as np

from headstart import paths
from headstart.adapt.base import Job
from headstart.engines.memory import Choice
from headstart.features.cache import budget
from headstart.plan.crossfit import Problem
from headstart.plan.views import SourceView
from headstart.progress import Progress
from headstart.workflow.gather import Gathered

# A folder that was written to so lately may be in use.
_IN_USE_SECONDS = 3600.0


def training_folder(view: SourceView) -> Path:
    """The folder of a source and the items it was applied to; the same for the same items in the same order."""
    digest = hashlib.sha256(view.origin.fingerprint.encode())
    digest.update(np.ascontiguousarray(view.features.matrix).data)
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", view.source)[:60]
    return paths.trainings_dir() / f"{readable}-{digest.hexdigest()[:16]}"


def jobs(gathered: Gathered, problem: Problem, scratch: Path | None, progress: Progress) -> list[tuple[Job, Choice]]:
    """A job a source on all items, with the engine that runs the source.

    Args:
        scratch: where trainings go that are not kept; None keeps them.
    """
    return [
        (
            Job(
                source=view.origin,
                items=cast("Sequence[Path] | Sequence[str]", gathered.dataset.items),
                target=problem.target,
                features=view.features,
                folder=training_folder(view) if scratch is None else scratch / view.source,
                weights=problem.weights,
                seed=problem.seed,
                progress=progress,
            ),
            gathered.choices[view.source],
        )
        for view in gathered.sources
    ]


def make_room(keep: set[Path], limit: int | None = None) -> list[Path]:
    """Remove the folders that were not used for longest, until all take no more than `limit` bytes.

    Args:
        keep: folders that stay whatever they take.
        limit: by default the bound of the feature cache.

    Returns:
        what was removed.
    """
    try:
        folders = [folder for folder in paths.trainings_dir().iterdir() if folder.is_dir()]
    except OSError:
        return []
    room = budget() if limit is None else limit
    sizes = {folder: _usage(folder) for folder in folders}
    total = sum(size for size, _ in sizes.values())
    gone = []
    for folder in sorted(folders, key=lambda folder: sizes[folder][1]):
        size, used = sizes[folder]
        if total <= room:
            break
        if folder not in keep and time.time() - used > _IN_USE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
            gone.append(folder)
    return gone


def _usage(folder: Path) -> tuple[int, float]:
    """Bytes, and when it was last written to."""
    size, used = 0, folder.stat().st_mtime
    for path in folder.rglob("*"):
        try:
            found = path.stat()
        except OSError:  # another process took it away
            continue
        size += found.st_size if S_ISREG(found.st_mode) else 0
        used = max(used, found.st_mtime)
    return size, used
