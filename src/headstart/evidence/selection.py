"""Which candidate is taken: the cheapest that is not clearly worse than the best.

Breiman's one-standard-error rule (Breiman et al. 1984, section 3.4.3), paired: the standard error is that of the
difference to the best candidate on the same items, not of the candidate's own score, so that candidates which err on
the same items are told apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.units import units_of

Floats = NDArray[np.float64]

Rule = Callable[[Floats, Floats, Floats], NDArray[np.int64]]
"""A way to select, for many weightings of the same units at once: (sums (G, K), sizes (G,), weights (B, G)) -> (B,).

`sums` are the K candidates' item scores summed within each of G units, `sizes` the items of each unit, `weights` how
often each unit counts in each of B samples.
"""


def choose(item_scores: Floats, costs: Floats, log_losses: Floats, groups: NDArray[np.int64] | None = None) -> int:
    """The position of the candidate to take.

    Of the candidates whose mean is within one standard error of the paired difference to the best mean, the cheapest;
    equal costs go to the smaller log loss, then to the higher mean, then to the first.

    Args:
        item_scores: (n, K) of K candidates on the same items, larger is better.
        costs: (K,) what is to be kept small: seconds, parameters, megabytes.
        log_losses: (K,); nan where there is none counts as the largest.
        groups: (n,) codes of what is not independent.

    Raises:
        DataError: no items or no candidates.
    """
    units = units_of(len(item_scores), groups)
    chosen = one_standard_error(costs, log_losses)(units.sums(item_scores), units.sizes, np.ones((1, len(units))))
    return int(chosen[0])


def one_standard_error(costs: Floats, log_losses: Floats) -> Rule:
    """The rule of `choose`, for any number of weightings at once.

    Raises:
        DataError: no candidates, or not one log loss a cost.
    """
    costs, losses = np.asarray(costs, np.float64), np.nan_to_num(np.asarray(log_losses, np.float64), nan=np.inf)
    if len(costs) == 0 or len(costs) != len(losses):
        raise DataError(f"got {len(costs)} costs and {len(losses)} log losses, expected one of each a candidate")

    def rule(sums: Floats, sizes: Floats, weights: Floats) -> NDArray[np.int64]:
        means = weights @ sums / (weights @ sizes)[:, None]  # (B, K)
        # A best mean shared by several: the one with the smaller loss, so that the order given does not matter.
        by_loss = np.lexsort((costs, losses))
        best = by_loss[means[:, by_loss].argmax(axis=1)]  # (B,)
        # A candidate that differs on one item is exactly one standard error away: rounding must not decide.
        errors = _standard_errors(means, best, sums, sizes, weights)
        admissible = _gaps(means, best) <= errors * (1 + 1e-9) + 1e-12
        rank = _dense_rank(costs, losses)
        order = np.where(admissible, rank, np.inf)  # (B, K)
        cheapest = order == order.min(axis=1, keepdims=True)
        taken: NDArray[np.int64] = np.where(cheapest, means, -np.inf).argmax(axis=1)
        return taken

    return rule


def highest_mean(sums: Floats, sizes: Floats, weights: Floats) -> NDArray[np.int64]:
    """The rule that takes the highest mean, the first of equals."""
    means: Floats = weights @ sums / (weights @ sizes)[:, None]
    highest: NDArray[np.int64] = means.argmax(axis=1)
    return highest


def _dense_rank(costs: Floats, losses: Floats) -> Floats:
    """(K,) position of each (cost, loss) pair among the distinct pairs, sorted."""
    _, rank = np.unique(np.column_stack([costs, losses]), axis=0, return_inverse=True)
    return rank.reshape(-1).astype(np.float64)


def _gaps(means: Floats, best: NDArray[np.int64]) -> Floats:
    return np.take_along_axis(means, best[:, None], axis=1) - means


def _standard_errors(means: Floats, best: NDArray[np.int64], sums: Floats, sizes: Floats, weights: Floats) -> Floats:
    """(B, K) standard error of each candidate's paired difference to the best of its sample.

    With D_g the difference summed in unit g of m_g items and d its mean an item, the variance is
    G / (G - 1) sum_g w_g (D_g - d m_g)^2 / (sum_g w_g m_g)^2; the square is expanded to need weights once.
    """
    errors = np.zeros_like(means)
    count = weights.sum(axis=1, keepdims=True)  # (B, 1)
    items = (weights @ sizes)[:, None]
    for candidate in np.unique(best):
        rows = best == candidate
        differences = sums[:, [candidate]] - sums  # (G, K)
        gap = _gaps(means[rows], best[rows])
        moments = weights[rows] @ np.hstack([differences**2, differences * sizes[:, None], sizes[:, None] ** 2])
        square, cross, size = np.split(moments, [sums.shape[1], 2 * sums.shape[1]], axis=1)
        total = np.maximum(square - 2 * gap * cross + gap**2 * size, 0.0)
        units = count[rows]
        errors[rows] = np.sqrt(total * units / np.maximum(units - 1, 1)) / items[rows]
    return errors
