"""The report of a learning curve: the JSON document that the command line prints and the figure is drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.split_notes import split_notes, time_field, unchecked
from headstart.data.splits import Fold
from headstart.evidence.curve import Saved, labels_saved, point_interval
from headstart.evidence.metrics import PRIMARY
from headstart.plan.crossfit import Problem
from headstart.plan.curve import Traced


def build_curve_report(
    dataset: Dataset, problem: Problem, split: Fold, traced: Sequence[Traced], notes: Sequence[str]
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values. Field names are a contract.

    Args:
        split: the items to learn from and to test on.
        traced: the curves, in the order in which they are to stand.
    """
    groups = None if problem.groups is None else problem.groups[split.test]
    metric = PRIMARY[problem.target.task]
    with_source, without = ([one for one in traced if one.learner.transfer is side] for side in (True, False))
    saved = [
        _saved(ours, theirs, labels_saved(ours.curve, theirs.curve, groups, problem.seed))
        for theirs in without
        for ours in with_source
    ]
    return {
        "name": dataset.name,
        "modality": dataset.modality,
        "task": problem.target.task,
        "metric": metric,
        "classes": list(problem.target.classes),
        "n": len(dataset),
        "n_learn": len(split.train),
        "n_test": len(split.test),
        "time": time_field(dataset, [split]),
        "draws": max(one.curve.draws for one in traced),
        "seed": problem.seed,
        "curves": [_curve(one, problem, groups) for one in traced],
        "saved": saved,
        "skipped": [{"id": item.id, "reason": item.reason} for item in dataset.skipped],
        "unchecked": list(unchecked(problem.target, [split])),
        "notes": [
            *dataset.notes,
            *notes,
            *split_notes(dataset, problem.target, [split], grouped=groups is not None),
            *(f"{one.learner.name}: {note}" for one in traced for note in one.notes),
        ],
    }


def _curve(traced: Traced, problem: Problem, groups: Any) -> dict[str, Any]:
    classes = problem.target.n_outputs
    points = [
        {
            "size": size,
            "labels": float(labels),
            "per_class": float(labels) / classes,
            "draws": len(scores),
            "score": point_interval(scores, groups).json(),
            "chosen": dict(chosen),
        }
        for size, labels, scores, chosen in zip(
            traced.sizes, traced.curve.labels, traced.curve.scores, traced.chosen, strict=True
        )
    ]
    return {
        "name": traced.learner.name,
        "source": traced.learner.source,
        "transfer": traced.learner.transfer,
        "points": points,
        "seconds": round(traced.seconds, 3),
    }


def _saved(ours: Traced, theirs: Traced, saved: Saved) -> dict[str, Any]:
    names = {"curve": ours.learner.name, "over": theirs.learner.name}
    return {**names, **saved.json(), "text": saved_text(ours.learner.name, theirs.learner.name, saved)}


def saved_text(ours: str, theirs: str, saved: Saved) -> str:
    """The comparison in a sentence."""
    goal = f"{100 * saved.goal:.1f} points"
    if not math.isfinite(saved.value):
        return (
            f"labels saved by {ours} over {theirs}: cannot be told, both reach {goal} with the fewest that were tried"
        )
    sign = {"more": "> ", "less": "< ", "": ""}[saved.bound]
    within = (
        f"{_times(saved.low)}, {_times(saved.high)}" if math.isfinite(saved.high) else f"at least {_times(saved.low)}"
    )
    ours_most, theirs_most = ("at most " if saved.bound == side else "" for side in ("more", "less"))
    tail = "" if saved.low > 1 or saved.high < 1 else "; the interval holds 1: no saving is proven"
    return (
        f"labels saved by {ours} over {theirs}: {sign}{_times(saved.value)} x [{within}]: for {goal} {ours} needs "
        f"{ours_most}{saved.ours:,.0f} labels, {theirs} {theirs_most}{saved.theirs:,.0f}{tail}"
    )


def _times(ratio: float) -> str:
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:,.0f}"
