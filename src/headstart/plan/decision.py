"""Which candidate ships, and what may be claimed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.metrics import PRIMARY
from headstart.evidence.optimism import Corrected, corrected, selected_gain
from headstart.evidence.selection import Rule, choose, highest_mean, one_standard_error
from headstart.evidence.verdict import Contender, Verdict, verdict
from headstart.plan.crossfit import Problem
from headstart.plan.race import Scored

_HEAD_WORDS = {
    "boosted-trees": "boosted trees",
    "sparse-linear": "linear model",
    "ridge": "linear model",
}
_VIEW_WORDS = {"hog": "HOG", "tfidf": "TF-IDF", "columns": "columns"}


@dataclass(frozen=True, eq=False)
class Decision:
    """What ships and why.

    Attributes:
        chosen: the candidate that ships: transfer's best where the gain is clear of zero, else the best baseline.
        transfer: transfer's own choice, None if no source took part.
        baseline: the better no-transfer candidate, None if there is none.
        estimate: the primary metric of what ships, without the optimism of having selected it.
    """

    chosen: Scored
    transfer: Scored | None
    baseline: Scored | None
    verdict: Verdict
    estimate: Corrected


@dataclass(frozen=True, eq=False)
class _Side:
    """Transfer's candidates, or the baselines."""

    scored: Sequence[Scored]
    rule: Rule
    best: Scored
    matrix: NDArray[np.float64]


def decide(transfer: Sequence[Scored], baseline: Sequence[Scored], problem: Problem) -> Decision:
    """Choose on each side, compare the two pairwise on the same folds, ship transfer only if it clearly pays.

    Transfer's side takes the cheapest candidate that is not clearly worse than its best; of the baselines the better
    one counts, whatever it costs.
    """
    tested = problem.tested()
    groups = None if problem.groups is None else problem.groups[tested]
    ours, theirs = _side(transfer, groups, cheapest=True), _side(baseline, groups, cheapest=False)
    gain = None
    if ours is not None and theirs is not None:
        gain = selected_gain(
            ours.matrix, theirs.matrix, groups, problem.seed, transfer_rule=ours.rule, baseline_rule=theirs.rule
        )
    judged = verdict(_contender(ours), _contender(theirs), PRIMARY[problem.target.task], groups, gain)
    ships = ours if ours is not None and (judged.transfer_helps or theirs is None) else theirs
    assert ships is not None, "a race scores at least one candidate"
    estimate = corrected(ships.matrix, groups, problem.seed, select=ships.rule)
    return Decision(
        chosen=ships.best,
        transfer=None if ours is None else ours.best,
        baseline=None if theirs is None else theirs.best,
        verdict=judged,
        estimate=estimate,
    )


def _side(scored: Sequence[Scored], groups: NDArray[np.int64] | None, *, cheapest: bool) -> _Side | None:
    if not scored:
        return None
    matrix = np.stack([one.item_scores for one in scored], axis=1)
    costs, losses = np.array([one.candidate.cost for one in scored]), np.array([one.loss for one in scored])
    if cheapest:
        return _Side(scored, one_standard_error(costs, losses), scored[choose(matrix, costs, losses, groups)], matrix)
    return _Side(scored, highest_mean, scored[int(matrix.mean(axis=0).argmax())], matrix)


def _contender(side: _Side | None) -> Contender | None:
    if side is None:
        return None
    candidate = side.best.candidate
    name = candidate.source
    if not candidate.transfer:
        view = candidate.view.detail
        name = f"{_VIEW_WORDS.get(view, view)} + {_HEAD_WORDS.get(candidate.head_name, candidate.head_name)}"
    return Contender(name, side.best.item_scores, side.best.loss)
