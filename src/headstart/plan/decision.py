"""Which candidate ships, and what may be claimed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.optimism import Corrected, corrected
from headstart.evidence.selection import choose
from headstart.evidence.verdict import Verdict, verdict
from headstart.plan.crossfit import Problem
from headstart.plan.race import Scored


@dataclass(frozen=True, eq=False)
class Decision:
    """What ships and why.

    Attributes:
        chosen: the candidate that ships: transfer's best where the gain is clear of zero, else the best baseline.
        transfer: transfer's own choice, None if no source took part.
        baseline: the better no-transfer candidate, None if there is none.
        estimate: the chosen side's primary metric corrected for having been selected.
    """

    chosen: Scored
    transfer: Scored | None
    baseline: Scored | None
    verdict: Verdict
    estimate: Corrected


def decide(transfer: Sequence[Scored], baseline: Sequence[Scored], problem: Problem) -> Decision:
    """Choose on each side, compare the two pairwise on the same folds, ship transfer only if it clearly pays."""
    tested = problem.tested()
    groups = None if problem.groups is None else problem.groups[tested]
    best_transfer, best_baseline = _select(transfer), _select(baseline, cheapest=False)
    judged = verdict(
        _matrix(transfer),
        _matrix(baseline),
        target=problem.target.take(tested),
        transfer_name=None if best_transfer is None else _name(best_transfer),
        baseline_name=None if best_baseline is None else _name(best_baseline),
        groups=groups,
        seed=problem.seed,
    )
    ships_transfer = best_transfer is not None and (judged.transfer_helps or best_baseline is None)
    chosen = best_transfer if ships_transfer else best_baseline
    side = transfer if ships_transfer else baseline
    assert chosen is not None
    estimate = corrected(_matrix(side), groups=groups, seed=problem.seed)
    return Decision(chosen, best_transfer, best_baseline, judged, estimate)


def _select(side: Sequence[Scored], cheapest: bool = True) -> Scored | None:
    if not side:
        return None
    costs = np.array([scored.candidate.cost if cheapest else 0.0 for scored in side])
    return side[choose(_matrix(side), costs, np.array([scored.loss for scored in side]))]


def _matrix(side: Sequence[Scored]) -> NDArray[np.float64]:
    return np.stack([scored.item_scores for scored in side], axis=1) if side else np.zeros((0, 0))


def _name(scored: Scored) -> str:
    return scored.candidate.strategy if not scored.candidate.transfer else f"{scored.candidate.source}"
