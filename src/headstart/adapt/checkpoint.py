"""Where a training stands, and what a finished one gave, on disk: a killed run resumes, a repeated one is known.

One safetensors file a training: arrays, and a JSON text among its metadata. It is replaced whole, so that a kill at
any time leaves the older or the newer one. What cannot be read counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Job, Learned, Moved, Reading, Rows
from headstart.adapt.whole_file import save_whole
from headstart.errors import StorageError

VERSION = 3  # raise it when the same settings would train otherwise
# A checkpoint is written when this many times its own writing time has passed since the last one.
_PATIENCE = 20.0

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Kept:
    """Arrays by name, and fields that JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    fields: Mapping[str, Any]


def training_key(job: Job, settings: Mapping[str, Any], train: Rows, test: Rows, readings: Sequence[Reading]) -> str:
    """A hex digest of all that decides what a training gives: source, settings, items, labels, weights, rows, seed."""
    digest = hashlib.sha256()
    fields = {
        "version": VERSION,
        "source": job.source.fingerprint,
        "settings": dict(settings),
        "seed": job.seed,
        "task": job.target.task,
        "classes": job.target.classes,
        "readings": [(r.epoch, r.blend, r.head) for r in readings],
    }
    digest.update(json.dumps(fields, sort_keys=True).encode())
    for rows in (train, test):
        digest.update(np.asarray(rows, np.int64).tobytes() + b"|")
        digest.update(np.ascontiguousarray(job.features.matrix[rows]).tobytes() + b"|")  # stands for the items
    digest.update(np.ascontiguousarray(job.target.y[train]).tobytes() + b"|")
    if job.weights is not None:
        digest.update(job.weights[train].tobytes())
    return digest.hexdigest()


class Shelf:
    """The files of one training.

    Attributes:
        trouble: what kept the last write from happening; empty where nothing did.
    """

    def __init__(self, folder: Path, key: str, *, writes: bool = True) -> None:
        """`writes`: False in processes that only help to train."""
        self._resume, self._result = (folder / f"{key[:40]}.{end}.safetensors" for end in ("resume", "result"))
        self._writes = writes
        self._due = 0.0
        self.trouble = ""

    def resume(self) -> Kept | None:
        """The last checkpoint of an unfinished training."""
        return _read(self._resume)

    def keep(self, arrays: Arrays, fields: Mapping[str, Any]) -> None:
        """Write a checkpoint."""
        started = time.perf_counter()
        self._write(self._resume, arrays, fields)
        now = time.perf_counter()
        self._due = now + _PATIENCE * (now - started)

    @property
    def due(self) -> bool:
        """True where the time for another checkpoint has come, and the disk takes it."""
        return self._writes and not self.trouble and time.perf_counter() >= self._due

    def finished(self, job: Job) -> Learned | None:
        """What this training gave when it was run before."""
        kept = _read(self._result)
        if kept is None:
            return None
        by_name = {tap.name: tap for tap in job.source.taps}
        taps = tuple(by_name[name] for name in kept.fields.get("taps", ()) if name in by_name)
        scores = [kept.arrays.get(f"scores/{i}") for i in range(int(kept.fields.get("readings", 0)))]
        head, bias = kept.arrays.get("head"), kept.arrays.get("bias")
        if not taps or head is None or bias is None or any(s is None for s in scores):
            return None
        weights = {k.partition("/")[2]: v for k, v in kept.arrays.items() if k.startswith("weights/")}
        given = tuple(s for s in scores if s is not None)
        return Learned(given, Moved(weights, taps, head, bias), tuple(kept.fields.get("notes", ())), known=True)

    def finish(self, learned: Learned) -> None:
        """Keep what the training gave, and drop its checkpoint."""
        arrays: Arrays = {f"scores/{i}": scores for i, scores in enumerate(learned.scores)}
        arrays |= {f"weights/{name}": value for name, value in learned.moved.weights.items()}
        arrays |= {"head": learned.moved.head, "bias": learned.moved.bias}
        taps = [tap.name for tap in learned.moved.taps]
        fields = {"taps": taps, "readings": len(learned.scores), "notes": list(learned.notes)}
        self._write(self._result, arrays, fields)
        if self._writes:
            self._resume.unlink(missing_ok=True)

    def _write(self, path: Path, arrays: Arrays, fields: Mapping[str, Any]) -> None:
        if not self._writes or self.trouble:
            return
        flat = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in arrays.items()}
        try:
            save_whole(flat, path, {"fields": json.dumps(dict(fields))})
        except StorageError as error:
            self.trouble = str(error)


def _read(path: Path) -> Kept | None:
    if not path.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            fields = json.loads((file.metadata() or {})["fields"])
            return Kept({name: file.get_tensor(name) for name in file.keys()}, fields)  # noqa: SIM118
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
