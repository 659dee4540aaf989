"""What trainings keep between runs: checkpoints and results, a folder a data set and source.

It may be rebuilt, and shares the bound of HEADSTART_CACHE_BYTES with all else that is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from headstart import paths
from headstart.adapt.base import Job
from headstart.engines.memory import Choice
from headstart.features import bound
from headstart.features.bound import training_pieces
from headstart.plan.crossfit import Problem
from headstart.plan.views import SourceView
from headstart.progress import Progress
from headstart.workflow.gather import Gathered


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


@dataclass(frozen=True)
class TrainingUsage:
    """What one folder takes. `last_used` is in seconds since 1970."""

    name: str
    files: int
    bytes: int
    last_used: float


def make_room(keep: set[Path]) -> None:
    """Keep to the bound that all caches share: what was not used for longest goes.

    Args:
        keep: folders that stay whatever they take.
    """
    bound.make_room(spare=keep.__contains__)


def usage() -> list[TrainingUsage]:
    """Every folder with a file, largest first."""
    found = [
        TrainingUsage(piece.path.name, sum(path.is_file() for path in piece.path.rglob("*")), piece.bytes, piece.used)
        for piece in training_pieces()
    ]
    return sorted(found, key=lambda one: (-one.bytes, one.name))


def clear(name: str | None = None) -> int:
    """Remove what one folder holds, or all of them; the bytes freed. A training that runs goes on without."""
    return sum(piece.drop(piece.bytes) for piece in training_pieces() if name in (None, piece.path.name))
