"""The report of a fit: the one JSON document that the command line prints and the artefact keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.split_notes import split_notes, time_field, unchecked
from headstart.evidence.metric_intervals import with_intervals
from headstart.plan.crossfit import Fitted, Problem
from headstart.plan.decision import Decision
from headstart.plan.scored import Scored
from headstart.plan.steps import Plan
from headstart.plan.tuned import MovedView
from headstart.sources.base import Source
from headstart.sources.lineage import descent


def build_report(
    dataset: Dataset,
    problem: Problem,
    scored: Sequence[Scored],
    decision: Decision,
    fitted: Fitted,
    plan: Plan,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values. Field names are a contract.

    Args:
        scored: every candidate, in the order in which they were scored.
        fitted: the chosen one.
    """
    target = problem.target
    chosen = decision.chosen.candidate
    of_split = split_notes(dataset, target, problem.folds, grouped=problem.groups is not None)
    return {
        "name": dataset.name,
        "modality": dataset.modality,
        "task": target.task,
        "metric": problem.metric,
        "classes": list(target.classes),
        "n": len(dataset),
        "groups": None if dataset.groups is None else len(set(dataset.groups.tolist())),
        "folds": len(problem.folds),
        "time": time_field(dataset, problem.folds),
        "unchecked": list(unchecked(target, problem.folds)),
        "seed": problem.seed,
        "chosen": {"source": chosen.source, "strategy": chosen.strategy},
        "candidates": [_candidate(one, problem) for one in scored],
        "baseline": None if decision.baseline is None else _candidate(decision.baseline, problem),
        "estimate": {**decision.estimate.interval.json(), "naive": decision.estimate.naive},
        "evidence": {"folds": decision.folds, "items": len(problem.first(decision.folds).tested())},
        "optimism": decision.estimate.optimism,
        "verdict": decision.verdict.json(),
        "moved": _moved(fitted, decision.chosen),
        "plan": plan.json(),
        "lineage": [asdict(ancestor) for ancestor in descent(_sources(fitted))],
        "skipped": [{"id": item.id, "reason": item.reason} for item in dataset.skipped],
        "notes": [*dataset.notes, *notes, *of_split, *(note for one in scored for note in _trained(one))],
    }


def _candidate(scored: Scored, problem: Problem) -> dict[str, Any]:
    tested = problem.first(scored.folds).tested()
    intervals = with_intervals(
        problem.target.take(tested),
        scored.out_of_fold.probabilities[tested],
        groups=None if problem.groups is None else problem.groups[tested],
        seed=problem.seed,
        balanced=problem.weights is not None,
    )
    return {
        "source": scored.candidate.source,
        "strategy": scored.candidate.strategy,
        "metrics": {name: interval.json() for name, interval in intervals.items()},
        "seconds": round(scored.out_of_fold.seconds, 3),
        "folds": scored.folds,
        "reading": None if scored.out_of_fold.reading is None else asdict(scored.out_of_fold.reading),
    }


def _trained(scored: Scored) -> list[str]:
    """What the trainings of a candidate had to say."""
    return [f"{scored.candidate.label} · {scored.candidate.strategy}: {note}" for note in scored.out_of_fold.notes]


def _sources(fitted: Fitted) -> list[Source]:
    return [state.source for state in fitted.view.states() if state.source is not None]


def _moved(fitted: Fitted, chosen: Scored) -> dict[str, Any] | None:
    """Which weights of which source the model has moved, and how far; None where all are frozen."""
    if not isinstance(fitted.view, MovedView) or chosen.out_of_fold.reading is None:
        return None
    weights = fitted.view.moved.weights
    return {
        "source": fitted.view.job.source.name,
        "strategy": chosen.candidate.strategy,
        **asdict(chosen.out_of_fold.reading),
        "tensors": sorted(weights),
        "parameters": sum(int(weight.size) for weight in weights.values()),
        "of": fitted.view.job.source.parameters,
    }


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """The report without wall-clock times: what the artefact keeps, so that the same fit gives the same bytes."""
    plain = {key: value for key, value in report.items() if key != "seconds"}
    plain["candidates"] = [{k: v for k, v in c.items() if k != "seconds"} for c in report["candidates"]]
    if report["baseline"] is not None:
        plain["baseline"] = {k: v for k, v in report["baseline"].items() if k != "seconds"}
    if "plan" in report:
        plain["plan"] = [{k: v for k, v in step.items() if k != "seconds"} for step in report["plan"]]
    return plain
