"""Which candidate is taken: the cheapest that is not clearly worse than the best.

Breiman's one-standard-error rule (Breiman et al. 1984, section 3.4.3), paired: the standard error is that of the
difference to the best candidate on the same items, not of the candidate's own score, so that candidates which err on
the same items are told apart.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.units import units_of

Floats = NDArray[np.float64]


class Rule(Protocol):
    """A way to select among K candidates, for many weightings of the same G units at once."""

    def __call__(self, sums: Floats, sizes: Floats, weights: Floats, losses: Floats | None = None) -> NDArray[np.int64]:
        """(B,) the candidate taken in each of B samples.

        Args:
            sums: (G, K) item scores summed within each unit.
            sizes: (G,) items of each unit.
            weights: (B, G) how often each unit counts in each sample.
            losses: (G, K) item losses summed likewise: those of a sample are its own. None: the same in all samples.
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
    costs, given = np.asarray(costs, np.float64), np.nan_to_num(np.asarray(log_losses, np.float64), nan=np.inf)
    if len(costs) == 0 or len(costs) != len(given):
        raise DataError(f"got {len(costs)} costs and {len(given)} log losses, expected one of each a candidate")

    def rule(sums: Floats, sizes: Floats, weights: Floats, losses: Floats | None = None) -> NDArray[np.int64]:
        items = (weights @ sizes)[:, None]
        means = weights @ sums / items  # (B, K)
        lost = np.broadcast_to(given, means.shape) if losses is None else weights @ losses / items  # (B, K)
        every = np.broadcast_to(costs, means.shape)
        # A best mean shared by several: the one with the smaller loss, so that the order given does not matter.
        best = _least(every, _where_least(lost, means == means.max(axis=1, keepdims=True)))  # (B,)
        # A candidate that differs on one item is exactly one standard error away: rounding must not decide.
        errors = _standard_errors(means, best, sums, sizes, weights)
        admissible = _gaps(means, best) <= errors * (1 + 1e-9) + 1e-12
        return _least(-means, _where_least(lost, _where_least(every, admissible)))

    return rule


def highest_mean(sums: Floats, sizes: Floats, weights: Floats, losses: Floats | None = None) -> NDArray[np.int64]:
    """The rule that takes the highest mean, the first of equals."""
    means: Floats = weights @ sums / (weights @ sizes)[:, None]
    highest: NDArray[np.int64] = means.argmax(axis=1)
    return highest


def _where_least(values: Floats, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(B, K) True at each row's least value `among` those that are True; all of equals."""
    left = np.where(among, values, np.inf)
    least: NDArray[np.bool_] = among & (left == left.min(axis=1, keepdims=True))
    return least


def _least(values: Floats, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(B,) the first position of each row's least finite value `among` those that are True."""
    positions: NDArray[np.int64] = np.where(among, values, np.inf).argmin(axis=1)
    return positions


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
