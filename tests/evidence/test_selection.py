from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evidence import choose, highest_mean, one_standard_error
from headstart.evidence.units import units_of


def by_hand(scores, costs, losses, groups=None) -> int:
    """The rule of the docstring with loops; means without ties."""
    best = scores.mean(axis=0).argmax()
    admissible = []
    for k in range(scores.shape[1]):
        d = scores[:, best] - scores[:, k]
        if groups is None:
            error = d.std(ddof=1) / np.sqrt(len(d))
        else:
            parts = [(d[groups == g] - d.mean()).sum() for g in np.unique(groups)]
            error = np.sqrt(len(parts) / (len(parts) - 1) * np.square(parts).sum()) / len(d)
        if d.mean() <= error + 1e-9:
            admissible.append(k)
    return min(admissible, key=lambda k: (costs[k], losses[k], -scores[:, k].mean()))


@pytest.mark.parametrize("grouped", [False, True])
def test_the_rule_by_brute_force(grouped):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 4) if grouped else None
    seen = set()
    for _ in range(200):
        scores = rng.normal(size=(40, 1)) + rng.normal(size=(40, 5)) * 0.5 + rng.normal(size=5) * 0.1
        costs, losses = rng.integers(3, size=5).astype(float), rng.random(5)
        assert choose(scores, costs, losses, groups) == by_hand(scores, costs, losses, groups)
        seen.add(choose(scores, costs, losses, groups))
    assert len(seen) == 5


def test_a_cheaper_candidate_wins_unless_it_is_clearly_worse():
    rng = np.random.default_rng(1)
    best = (rng.random(200) < 0.9).astype(float)
    nearly, worse = best.copy(), best.copy()
    nearly[np.flatnonzero(best)[:1]] = 0  # one item: within one standard error of a single disagreement
    worse[np.flatnonzero(best)[:9]] = 0
    scores = np.column_stack([best, nearly, worse])
    assert choose(scores, np.array([3.0, 2.0, 1.0]), np.ones(3)) == 1
    assert choose(scores, np.array([1.0, 2.0, 1.0]), np.ones(3)) == 0


def test_ties_go_to_the_smaller_log_loss_and_nan_is_the_largest():
    same = np.tile(np.random.default_rng(0).random((30, 1)), (1, 3))
    assert choose(same, np.ones(3), np.array([0.5, 0.2, 0.4])) == 1
    assert choose(same, np.ones(3), np.array([np.nan, 0.2, np.nan])) == 1
    assert choose(same, np.ones(3), np.ones(3)) == 0


def test_neither_the_order_of_items_nor_of_candidates_matters():
    rng = np.random.default_rng(2)
    scores, costs, losses = rng.random((50, 6)), rng.random(6), rng.random(6)
    items, candidates = rng.permutation(50), rng.permutation(6)
    shuffled = choose(scores[items][:, candidates], costs[candidates], losses[candidates])
    assert candidates[shuffled] == choose(scores, costs, losses)


def test_weights_are_repetitions():
    rng = np.random.default_rng(3)
    scores, costs = rng.normal(size=(25, 4)), np.arange(4.0)
    weights = rng.multinomial(25, np.full(25, 1 / 25), size=50).astype(float)
    units = units_of(25)
    together = one_standard_error(costs, np.ones(4))(units.sums(scores), units.sizes, weights)
    for weight, chosen in zip(weights, together, strict=True):
        assert choose(np.repeat(scores, weight.astype(int), axis=0), costs, np.ones(4)) == chosen
    losses = rng.random((25, 4))
    by_loss = one_standard_error(np.ones(4), losses.mean(axis=0))
    for weight, chosen in zip(
        weights, by_loss(units.sums(scores), units.sizes, weights, units.sums(losses)), strict=True
    ):
        rows = np.repeat(np.arange(25), weight.astype(int))
        assert choose(scores[rows], np.ones(4), losses[rows].mean(axis=0)) == chosen
    best = highest_mean(units.sums(scores), units.sizes, weights)
    assert (best == (weights @ scores).argmax(axis=1)).all()


def test_one_candidate_one_item():
    assert choose(np.ones((1, 1)), np.ones(1), np.ones(1)) == 0


def test_no_candidates_are_refused():
    with pytest.raises(DataError, match="0 costs"):
        choose(np.ones((3, 0)), np.ones(0), np.ones(0))
