"""What selection adds: the best of many candidates looks better on the items that selected it than it is.

Bootstrap bias-corrected cross-validation (BBC-CV; Tsamardinos, Greasidou & Borboudakis 2018): the out-of-fold item
scores of all candidates are resampled; in each replicate the same rule selects on the items drawn and the selected
candidate is scored on the items not drawn. No model is fitted again.

The optimism is the mean over replicates of (the candidate chosen on all items - the candidate chosen in the replicate),
both on the items not drawn. The paper averages the second term alone and compares it with the chosen candidate's score
on all items; in expectation that is the same, but the difference within a replicate has far less Monte Carlo noise, and
is exactly zero where there is nothing to select. It is never taken below zero.

Where the rule goes by losses, these are redrawn with the scores: of candidates within one standard error the smallest
loss is taken, which is small where items went well. That the other heads run on the layer set that won on the same
folds is not redrawn, as that would need every head on every layer set: it is worth .00 to .08 points. In points of
accuracy against the truth on items held out (`benchmarks/optimism.py`, 28 to 74 draws of 100 to 150 items):

    set           true         losses kept   redrawn   layer set redrawn too
    solar-cells   1.35 ± .20        .61         .97            1.05
    digits        -.04 ± .19        .33         .48             .48
    api-docs       .70 ± .25        .71        1.18            1.21

So what is taken off is right within half a point on each, too little on one set, too much on two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.intervals import Interval, mean_interval, paired_difference
from headstart.evidence.selection import Rule, highest_mean
from headstart.evidence.units import Units, bootstrap_weights, units_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """K candidates that were scored on the same n items, and how one of them is taken.

    Attributes:
        scores: (n, K) out-of-fold item scores, larger is better.
        rule: takes one, for instance `one_standard_error(costs, log_losses)`.
        losses: (n, K) of the items, which the rule goes by too; None where it does not.
    """

    scores: Floats
    rule: Rule = highest_mean
    losses: Floats | None = None


@dataclass(frozen=True)
class Corrected:
    """The honest score of the selected candidate.

    Attributes:
        value, low, high: after correction, with a 95 % interval.
        naive: the selected candidate's own out-of-fold score.
        optimism: naive - value.
        chosen: the selected candidate's position.
    """

    value: float
    low: float
    high: float
    naive: float
    optimism: float
    chosen: int

    @property
    def interval(self) -> Interval:
        """The corrected value with its interval."""
        return Interval(self.value, self.low, self.high)


def corrected(
    candidates: Candidates, groups: NDArray[np.int64] | None = None, seed: int = 0, own: Interval | None = None
) -> Corrected:
    """The score of whichever candidate is taken, without the optimism of having selected it.

    The interval is that of the selected candidate's mean, moved down by the optimism; the correction is taken to be
    as uncertain as it is large. It stays within what scores can be.

    Args:
        groups: (n,) codes of what is not independent; whole groups are drawn.
        seed: of the bootstrap.
        own: the selected candidate's mean with its interval; by default `mean_interval`, which weighted scores of right
            and wrong do not suit.

    Raises:
        DataError: no items or no candidates.
    """
    scores = candidates.scores
    chosen, optimism = _selected(candidates, groups, seed, scores)
    naive = own or mean_interval(scores[:, chosen], groups)
    most = 1.0 if own is not None or scores.max() <= 1 else math.inf
    honest = naive.corrected(-optimism, optimism).within(0.0 if scores.min() >= 0 else -math.inf, most)
    return Corrected(honest.value, honest.low, honest.high, naive.value, naive.value - honest.value, chosen)


def selected_gain(
    transfer: Candidates,
    baseline: Candidates,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
    weights: Floats | None = None,
    judged: tuple[Floats, Floats] | None = None,
) -> Interval:
    """The gain of the selected transfer candidate over the selected baseline, both without the optimism of selection.

    The paired interval of the two selected on all items, moved by the difference of their optimisms, each taken to be
    as uncertain as it is large. With one candidate on each side it is `paired_difference`.

    Args:
        transfer, baseline: K1 and K2 on the same items.
        groups, seed: as for `corrected`.
        weights: as for `paired_difference`.
        judged: of each side, (n, K1) and (n, K2), what the gain is of, larger being better, where that is not what the
            rules selected by: log losses, turned round.

    Raises:
        DataError: no items, no candidates on a side, or unequal numbers of items.
    """
    ours_by, theirs_by = judged or (transfer.scores, baseline.scores)
    ours, our_optimism = _selected(transfer, groups, seed, ours_by)
    theirs, their_optimism = _selected(baseline, groups, seed, theirs_by)
    gain = paired_difference(ours_by[:, ours], theirs_by[:, theirs], groups, weights)
    corrected_gain = gain.corrected(their_optimism - our_optimism, math.hypot(our_optimism, their_optimism))
    shares = judged is None and (weights is not None or (_are_shares(transfer.scores) and _are_shares(baseline.scores)))
    return corrected_gain.within(-1.0, 1.0) if shares else corrected_gain


def _are_shares(scores: Floats) -> bool:
    return bool(scores.min() >= 0 and scores.max() <= 1)


def take(candidates: Candidates, units: Units) -> int:
    """The position of the candidate that the rule takes on all items."""
    losses = None if candidates.losses is None else units.sums(candidates.losses)
    return int(candidates.rule(units.sums(candidates.scores), units.sizes, np.ones((1, len(units))), losses)[0])


def _selected(candidates: Candidates, groups: NDArray[np.int64] | None, seed: int, judged: Floats) -> tuple[int, float]:
    """The candidate taken on all items, and the optimism of having taken it, in what is judged."""
    item_scores, item_losses, rule = candidates.scores, candidates.losses, candidates.rule
    if item_scores.ndim != 2 or item_scores.shape[1] == 0:
        raise DataError(
            f"got item scores of shape {item_scores.shape}, expected (items, candidates), at least one each"
        )
    units = units_of(len(item_scores), groups)
    chosen = take(candidates, units)
    if item_scores.shape[1] == 1 or len(units) < 2:
        return chosen, 0.0
    bags = units.merged(seed)
    sums, worth = bags.sums(item_scores), bags.sums(judged)  # (G, K) each
    lost = None if item_losses is None else bags.sums(item_losses)
    losses = []
    for drawn in bootstrap_weights(len(bags), seed):
        selected = rule(sums, bags.sizes, drawn, lost)  # (b,)
        left = (drawn == 0).astype(np.float64)  # (b, G)
        items = left @ bags.sizes
        rows = np.flatnonzero(items)  # a replicate that drew every unit leaves nothing to score on
        outside = (left @ worth)[rows] / items[rows, None]  # (b, K)
        losses.append(outside[:, chosen] - np.take_along_axis(outside, selected[rows, None], axis=1)[:, 0])
    lost = np.concatenate(losses)
    return chosen, max(0.0, float(lost.mean())) if len(lost) else 0.0
