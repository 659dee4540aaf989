"""Which candidate ships, and what may be claimed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.metric_intervals import balanced_interval
from headstart.evidence.metrics import class_weights
from headstart.evidence.optimism import Candidates, Corrected, corrected, selected_gain, take
from headstart.evidence.selection import Rule, highest_mean, one_standard_error
from headstart.evidence.units import units_of
from headstart.evidence.verdict import Contender, Verdict, verdict
from headstart.plan.crossfit import Problem
from headstart.plan.scored import Scored

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Decision:
    """What ships and why.

    Attributes:
        chosen: the candidate that ships: transfer's best where the gain is clear of zero, or where zero is within and
            the gain in log loss is clear of it; else the best baseline.
        transfer: transfer's own choice, None if no source took part.
        baseline: the better no-transfer candidate, None if there is none.
        estimate: the primary metric of what ships, without the optimism of having selected it.
        folds: how many of the problem's folds the evidence is from, the first ones: fewer than all where what ships had
            time for no more.
    """

    chosen: Scored
    transfer: Scored | None
    baseline: Scored | None
    verdict: Verdict
    estimate: Corrected
    folds: int


@dataclass(frozen=True, eq=False)
class _Side:
    """Transfer's candidates, or the baselines."""

    candidates: Candidates
    losses: Floats
    best: Scored


def decide(transfer: Sequence[Scored], baseline: Sequence[Scored], problem: Problem) -> Decision:
    """Choose on each side, compare the two pairwise on the same folds, ship transfer only if it is clearly better.

    Better is what the metric says; where it cannot tell, the log loss.

    Transfer's side takes the cheapest candidate that is not clearly worse than its best, and one that moved weights
    only where no frozen one is among those (see `frozen_first`); of the baselines the better one counts, whatever it
    costs.

    Candidates that had no time for all folds are compared with the others on the folds that all have. Where one of them
    ships, that is the evidence; else they change nothing.
    """
    everyone = [*transfer, *baseline]
    folds = min(one.folds for one in everyone)
    if folds < len(problem.folds):
        part = problem.first(folds)
        again = {one: Scored.of(one.candidate, one.out_of_fold, part) for one in everyone}
        ours, theirs = ([again[one] for one in side] for side in (transfer, baseline))
        decision = _decide(ours, theirs, part)
        if decision.chosen.candidate in [one.candidate for one in everyone if one.folds < len(problem.folds)]:
            original = {scored.candidate: one for one, scored in again.items()}
            return replace(decision, chosen=original[decision.chosen.candidate])
    ours, theirs = ([one for one in side if one.folds == len(problem.folds)] for side in (transfer, baseline))
    return _decide(ours, theirs, problem)


def _decide(transfer: Sequence[Scored], baseline: Sequence[Scored], problem: Problem) -> Decision:
    """All on the same folds."""
    tested = problem.tested()
    target, groups = problem.target.take(tested), None if problem.groups is None else problem.groups[tested]
    weights = None if problem.weights is None else class_weights(target)
    ours, theirs = _side(transfer, groups, cheapest=True), _side(baseline, groups, cheapest=False)
    gain = loss_gain = None
    if ours is not None and theirs is not None:
        compare = partial(selected_gain, ours.candidates, theirs.candidates, groups, problem.seed)
        gain = compare(weights=weights)
        if target.task != "regression":  # there the metric is the loss
            loss_gain = compare(judged=(-ours.losses, -theirs.losses))

    def honest(side: _Side) -> Corrected:
        said = side.best.out_of_fold.probabilities[tested]
        own = None if weights is None else balanced_interval(target, said, groups)
        return corrected(side.candidates, groups, problem.seed, own)

    only = ours if theirs is None else theirs if ours is None else None
    alone = None if only is None else honest(only)
    told = None if alone is None else alone.value
    judged = verdict(_contender(ours), _contender(theirs), problem.metric, groups, gain, loss_gain, told)
    ships = ours if judged.ships == "transfer" else theirs
    assert ships is not None, "a race scores at least one candidate"
    return Decision(
        chosen=ships.best,
        transfer=None if ours is None else ours.best,
        baseline=None if theirs is None else theirs.best,
        verdict=judged,
        estimate=alone or honest(ships),
        folds=len(problem.folds),
    )


def _side(scored: Sequence[Scored], groups: NDArray[np.int64] | None, *, cheapest: bool) -> _Side | None:
    if not scored:
        return None
    scores = np.stack([one.item_scores for one in scored], axis=1)
    losses = np.stack([one.item_losses for one in scored], axis=1)
    candidates = Candidates(scores, frozen_first(scored) if cheapest else highest_mean, losses)
    return _Side(candidates, losses, scored[take(candidates, units_of(len(scores), groups))])


def frozen_first(scored: Sequence[Scored]) -> Rule:
    """The rule that moves weights only where the gain clears its standard error.

    If any frozen candidate is within one standard error of the best of all, paired, the frozen ones alone are chosen
    among; else those that moved weights. Either way the cheapest within one standard error of the best is taken: cheap
    to predict with, then cheap to train.
    """
    moves = np.array([one.candidate.moves for one in scored])
    order = [(one.candidate.cost, one.candidate.effort) for one in scored]
    costs = np.array([sorted(set(order)).index(pair) for pair in order], np.float64)
    given = np.array([one.loss for one in scored])
    if moves.all() or not moves.any():
        return one_standard_error(costs, given)
    gate = one_standard_error(moves.astype(np.float64), given)
    sides = [
        (columns, one_standard_error(costs[columns], given[columns]))
        for columns in map(np.flatnonzero, (~moves, moves))
    ]

    def rule(sums: Floats, sizes: Floats, weights: Floats, losses: Floats | None = None) -> NDArray[np.int64]:
        frozen, moved = (
            columns[inner(sums[:, columns], sizes, weights, None if losses is None else losses[:, columns])]
            for columns, inner in sides
        )
        taken: NDArray[np.int64] = np.where(moves[gate(sums, sizes, weights, losses)], moved, frozen)
        return taken

    return rule


def _contender(side: _Side | None) -> Contender | None:
    if side is None:
        return None
    return Contender(side.best.candidate.words, side.best.item_scores, side.best.loss)
