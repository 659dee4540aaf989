"""The report of a fitted recogniser: the one JSON document that the command line prints and the artefact keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.errors_by_group import candidates_by_group
from headstart.evidence.intervals import Interval
from headstart.evidence.word_errors import Errors, changed_words
from headstart.workflow.transcription_task import Task

if TYPE_CHECKING:
    from headstart.speech.tuned import Point

_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Heard:
    """One way to hear all clips: its errors on them, and what it took."""

    strategy: str
    errors: Errors
    seconds: float


def build_report(
    task: Task, heard: Sequence[Heard], rows: NDArray[np.int64], points: Sequence[Point], *, moved: bool = True
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values. Field names are a contract.

    Args:
        heard: the untouched recogniser, then the tuned one where there is one.
        rows: the clips that were heard, positions in `task.spoken`.
        points: where each fold's training was read off.
        moved: False where tuning pays, and there was no time to do it on everything.
    """
    groups = None if task.spoken.groups is None else task.spoken.groups[rows]
    seed, spoken = task.options.seed, task.spoken
    candidates = [
        {
            "source": task.checkpoint.name,
            "strategy": one.strategy,
            "metrics": {name: interval.json() for name, interval in one.errors.rates(groups, seed).items()},
            "seconds": round(one.seconds, 3),
        }
        for one in heard
    ]
    before, after = heard[0], heard[-1]
    gain = after.errors.gain_over(before.errors, groups, seed) if len(heard) > 1 else _UNKNOWN
    helps = len(heard) > 1 and gain.low > 0
    chosen = after.strategy if helps and moved else before.strategy
    errors = {one.strategy: one.errors for one in heard}
    return {
        "name": spoken.name,
        "modality": "speech",
        "task": "transcribe",
        "metric": "word_error_rate",
        "language": task.language,
        "n": len(rows),
        "minutes": round(float(task.states.seconds[task.kept].sum()) / 60, 2),
        "groups": None if groups is None else len(np.unique(groups)),
        "seed": seed,
        "by_group": None if groups is None else candidates_by_group(errors, chosen, groups, spoken.group_names, seed),
        "chosen": {"source": task.checkpoint.name, "strategy": chosen},
        "candidates": candidates,
        "baseline": candidates[0],
        "verdict": {"transfer_helps": helps, "gain": gain.json(), "text": verdict(gain, tuned=len(heard) > 1)},
        "words": changed_words(before.errors, after.errors).json() if len(heard) > 1 else None,
        "read_at": [asdict(point) for point in points],
        "skipped": [{"id": one.id, "reason": one.reason} for one in spoken.skipped],
        "notes": [*spoken.notes, *task.notes],
    }


def verdict(gain: Interval, *, tuned: bool) -> str:
    """In words: a gain is by how much the word error rate is lower."""
    if not tuned:
        return "not tuned: the untouched recogniser ships"
    if gain.low == gain.high == 0:
        return "tuning leaves the word error rate as it is; the untouched recogniser ships"
    change, low, high = (0.0 - round(100 * one, 1) for one in (gain.value, gain.high, gain.low))
    points = f"word error rate {change:+.1f} points [{low:+.1f}, {high:+.1f}], on clips that were not learned from"
    if gain.low > 0:
        return f"tuning pays: {points}"
    found = "tuning does not pay" if gain.high < 0 else "cannot tell whether tuning pays"
    return f"{found}: {points}; the untouched recogniser ships"
