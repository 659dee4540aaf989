"""Which items are compared, and how texts are dealt to passes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from headstart.adapt.contrastive_batches import COMPANY, ContrastBatches, passes
from headstart.tasks import Target


def classes(counts: list[int]) -> Target:
    y = np.repeat(np.arange(len(counts)), counts)
    return Target("multiclass", np.random.default_rng(0).permutation(y), tuple(str(i) for i in range(len(counts))))


def test_few_items_are_compared_all_at_once() -> None:
    batches = ContrastBatches(classes([5, 7, 1]), 13, seed=0)
    assert batches.per_epoch == 1
    for step in (0, 3):
        np.testing.assert_array_equal(batches.step(step), np.arange(13))


def test_many_items_are_drawn_alike_of_each_class() -> None:
    target = classes([400, 60, 40])
    batches = ContrastBatches(target, 90, seed=0)
    assert batches.per_epoch == 6
    for step in range(6):
        rows = batches.step(step)
        assert len(np.unique(rows)) == len(rows) == 90
        np.testing.assert_array_equal(np.bincount(target.y[rows]), [30, 30, 30])
    assert not np.array_equal(batches.step(0), batches.step(1))
    np.testing.assert_array_equal(batches.step(4), ContrastBatches(target, 90, seed=0).step(4))
    assert not np.array_equal(batches.step(4), ContrastBatches(target, 90, seed=1).step(4))


def test_a_small_class_gives_what_it_has() -> None:
    target = classes([300, 3])
    rows = ContrastBatches(target, 100, seed=0).step(0)
    np.testing.assert_array_equal(np.bincount(target.y[rows]), [50, 3])


def test_of_many_classes_some_are_drawn_each_with_company() -> None:
    target = classes([10] * 60)
    batches = ContrastBatches(target, 64, seed=0)
    seen = set()
    for step in range(30):
        counts = np.bincount(target.y[batches.step(step)], minlength=60)
        assert set(counts) == {0, COMPANY}
        assert (counts > 0).sum() == 16
        seen |= set(np.flatnonzero(counts))
    assert len(seen) == 60


def test_label_sets_are_drawn_as_they_come() -> None:
    y = (np.random.default_rng(0).random((50, 3)) < 0.5).astype(np.uint8)
    rows = ContrastBatches(Target("multilabel", y, ("a", "b", "c")), 20, seed=0).step(0)
    assert len(np.unique(rows)) == 20


def cost_of(parts: list[np.ndarray], lengths: np.ndarray, cost: int) -> int:
    return sum(len(part) * int(lengths[part].max()) + cost for part in parts)


def cheapest(lengths: np.ndarray, cost: int) -> int:
    """Over all ways to cut the sorted texts into runs."""
    ordered, n = np.sort(lengths), len(lengths)
    best = None
    for k in range(n):
        for cuts in combinations(range(1, n), k):
            runs = np.split(ordered, cuts)
            total = sum(len(run) * int(run[-1]) + cost for run in runs)
            best = total if best is None else min(best, total)
    assert best is not None
    return best


@pytest.mark.parametrize("cost", [1, 7, 30, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_passes_cost_the_least(cost: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(2, 40, 9)
    parts = passes(lengths, cost, most=10**6)
    assert sorted(np.concatenate(parts).tolist()) == list(range(9))
    assert cost_of(parts, lengths, cost) == cheapest(lengths, cost)


def test_passes_are_no_larger_than_they_may_be() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 300)
    lengths[7] = 500  # longer than a pass: alone
    parts = passes(lengths, 250, most=256)
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    for part in parts:
        assert len(part) == 1 or len(part) * lengths[part].max() <= 256
