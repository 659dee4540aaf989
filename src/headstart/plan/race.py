"""The race: baselines first, then each source's layers, then other heads on the best layers, then sources fused.

Every candidate is scored on the same folds. What would not fit the time left is not started, and said.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.metrics import item_scores, score
from headstart.plan.candidates import SCREENING_HEAD, Candidate, baselines, frozen
from headstart.plan.crossfit import OutOfFold, Problem, crossfit
from headstart.plan.views import FusedView, SourceView, View, layer_sets
from headstart.progress import SILENT, Progress


@dataclass(frozen=True, eq=False)
class Scored:
    """A candidate with what it said out of fold.

    Attributes:
        item_scores: (t,) primary score of each tested item, in the order of Problem.tested().
        loss: log loss (regression: mean squared error) on the tested items.
    """

    candidate: Candidate
    out_of_fold: OutOfFold
    item_scores: NDArray[np.float64]
    loss: float

    @property
    def mean(self) -> float:
        return float(self.item_scores.mean())


@dataclass(eq=False)
class Race:
    """Runs candidates on one problem and keeps what they scored.

    Attributes:
        deadline: time.perf_counter() value after which nothing new starts; None for no limit.
        skipped: names of candidates that were not started, with the reason.
    """

    problem: Problem
    deadline: float | None = None
    progress: Progress = SILENT
    scored: list[Scored] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def run(self, candidates: Iterable[Candidate]) -> list[Scored]:
        """Cross-fit each candidate that fits the time left; the results, which are also kept."""
        candidates = list(candidates)
        results = []
        label = candidates[0].source if candidates else ""
        with self.progress.bar("score", label, len(candidates), "candidates") as bar:
            for candidate in candidates:
                if self._fits(candidate):
                    results.append(self._score(candidate))
                bar.advance()
        self.scored += results
        return results

    def _fits(self, candidate: Candidate) -> bool:
        if self.deadline is None:
            return True
        left = self.deadline - time.perf_counter()
        needed = candidate.estimated_seconds(len(self.problem.target), len(self.problem.folds))
        if needed > left and self.scored:
            self.skipped.append(
                f"{candidate.source} · {candidate.strategy} was not tried: about {needed:.0f} s needed, "
                f"{max(left, 0):.0f} s left"
            )
            return False
        return True

    def _score(self, candidate: Candidate) -> Scored:
        out_of_fold = crossfit(candidate.view, candidate.head, self.problem)
        tested = self.problem.tested()
        target, probabilities = self.problem.target.take(tested), out_of_fold.probabilities[tested]
        loss_name = "log_loss" if target.task != "regression" else "rmse"
        loss = score(target, probabilities)[loss_name]
        return Scored(candidate, out_of_fold, item_scores(target, probabilities), float(loss or 0.0))


def run_baselines(race: Race, view: View | None) -> list[Scored]:
    """Score what knows nothing beforehand."""
    return [] if view is None else race.run(baselines(view, race.problem.target.task))


def run_sources(race: Race, views: Sequence[SourceView], heads: Sequence[str]) -> list[Scored]:
    """Score every source's layer sets, other heads on its best set, and, with several sources, their fusion.

    Args:
        views: one view a source, of all its taps.
        heads: the heads asked for. Layers are compared with ridge, the cheapest to cross-fit, where it is among them.
    """
    screening = SCREENING_HEAD if SCREENING_HEAD in heads else heads[0]
    results: list[Scored] = []
    best: list[SourceView] = []
    for view in views:
        sets = [SourceView(view.features, view.origin, taps, name) for name, taps in layer_sets(view.taps).items()]
        screened = race.run(frozen(layers, screening) for layers in sets)
        winner = max(screened, key=lambda s: (s.mean, -s.loss)).candidate.view if screened else sets[0]
        assert isinstance(winner, SourceView)
        best.append(winner)
        results += screened + race.run(frozen(winner, head) for head in heads if head != screening)
    if len(best) > 1:
        results += race.run([frozen(FusedView(tuple(best)), screening)])
    return results
