"""The report of a fit: the one JSON document that the command line prints and the artefact keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headstart.data.dataset import Dataset
from headstart.evidence.metric_intervals import with_intervals
from headstart.evidence.metrics import PRIMARY
from headstart.plan.crossfit import Problem
from headstart.plan.decision import Decision
from headstart.plan.race import Race, Scored
from headstart.sources.base import Ancestor


def build_report(
    dataset: Dataset,
    problem: Problem,
    decision: Decision,
    race: Race,
    notes: tuple[str, ...],
    lineage: Sequence[Ancestor],
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values. Field names are a contract.

    Args:
        lineage: what the chosen model was made from, nearest first.
    """
    target = problem.target
    candidates = [_candidate(scored, problem) for scored in race.scored]
    chosen = decision.chosen.candidate
    return {
        "name": dataset.name,
        "modality": dataset.modality,
        "task": target.task,
        "metric": PRIMARY[target.task],
        "classes": list(target.classes),
        "n": len(dataset),
        "groups": None if problem.groups is None else len(set(problem.groups.tolist())),
        "folds": len(problem.folds),
        "seed": problem.seed,
        "chosen": {"source": chosen.source, "strategy": chosen.strategy},
        "candidates": candidates,
        "baseline": None if decision.baseline is None else _candidate(decision.baseline, problem),
        "estimate": {**decision.estimate.interval.json(), "naive": decision.estimate.naive},
        "optimism": decision.estimate.optimism,
        "verdict": decision.verdict.json(),
        "lineage": [asdict(ancestor) for ancestor in lineage],
        "skipped": [{"id": item.id, "reason": item.reason} for item in dataset.skipped],
        "notes": [*dataset.notes, *notes, *race.skipped],
    }


def _candidate(scored: Scored, problem: Problem) -> dict[str, Any]:
    tested = problem.tested()
    intervals = with_intervals(
        problem.target.take(tested),
        scored.out_of_fold.probabilities[tested],
        groups=None if problem.groups is None else problem.groups[tested],
        seed=problem.seed,
    )
    return {
        "source": scored.candidate.source,
        "strategy": scored.candidate.strategy,
        "metrics": {name: interval.json() for name, interval in intervals.items()},
        "seconds": round(scored.out_of_fold.seconds, 3),
    }


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """The report without wall-clock times: what the artefact keeps, so that the same fit gives the same bytes."""
    plain = {key: value for key, value in report.items() if key != "seconds"}
    plain["candidates"] = [{k: v for k, v in c.items() if k != "seconds"} for c in report["candidates"]]
    if report["baseline"] is not None:
        plain["baseline"] = {k: v for k, v in report["baseline"].items() if k != "seconds"}
    return plain
