"""Writing a recogniser: beside its place, read back, then put there: an older file is lost only to a good one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.model.temporary import TemporaryFolder
from headstart.sources.base import TrainedOn
from headstart.speech.checkpoint import Checkpoint
from headstart.workflow.clock import Clock
from headstart.workflow.report import without_times
from headstart.workflow.result import FitResult
from headstart.workflow.transcription_task import Task


class Shipping:
    """Writes what the evidence chooses; again when that changes.

    Attributes:
        path: the artefact.
    """

    def __init__(self, task: Task, clock: Clock) -> None:
        self._task, self._clock = task, clock
        self._owner = TemporaryFolder() if task.options.out is None else None
        self.path: Path = task.options.out or Path(self._owner.path if self._owner else ".") / "model.headstart"
        self._written: FitResult | None = None

    def ship(self, checkpoint: Checkpoint, report: dict[str, Any], strategy: str = "untouched") -> FitResult:
        """Write, read back, put in place.

        Raises:
            HeadstartError: what was written is not what was meant: the file is as it was before.
        """
        from headstart.speech.artefact import read, write

        unchecked = self.path.with_name(f".{self.path.name}.{os.getpid()}.unchecked")
        try:
            write(unchecked, checkpoint, self._card(strategy), without_times(report))
            again = read(unchecked).checkpoint
            if any(
                (again.weights[name] != w.astype(again.weights[name].dtype)).any()
                for name, w in checkpoint.weights.items()
            ):
                raise HeadstartError(f"{self.path}: what was written differs from what was learned")
            os.replace(unchecked, self.path)
        finally:
            unchecked.unlink(missing_ok=True)
        self._clock.lap("save")
        seconds = self._clock.json()
        full = {**report, "model": str(self.path), "bytes": self.path.stat().st_size, "seconds": seconds}
        self._written = FitResult(full, self.path, self._owner)
        return self._written

    def interrupted(self, result: FitResult) -> FitResult:
        """The last that was written, as the user stopped the fit."""
        return replace(self._written or result, interrupted=True)

    def unwritten(self, result: FitResult, error: Exception) -> FitResult:
        """The last that was written, as what came after it could not be."""
        written = self._written or result
        written.report["notes"].append(f"the file lacks the last of the evidence: {error}")
        return written

    def _card(self, strategy: str) -> dict[str, Any]:
        from importlib.metadata import version

        task = self._task
        return {
            "name": task.spoken.name,
            "strategy": strategy,
            "language": task.language,
            "beam": task.beam,
            "seed": task.options.seed,
            "data": TrainedOn(task.spoken.name, len(task.spoken), 0),
            "versions": {name: version(name) for name in ("headstart", "numpy", "ctranslate2")},
            "input": task.options.input,
            "label": task.options.label,
        }
