"""Selection's optimism by simulation, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evidence import (
    Candidates,
    corrected,
    mean_interval,
    one_standard_error,
    paired_difference,
    selected_gain,
)
from headstart.evidence.units import bootstrap_weights


def right(rng: np.random.Generator, n: int, accuracies: np.ndarray) -> np.ndarray:
    """(n, K) right and wrong scores; half of an item's difficulty is common to all candidates."""
    common, own = rng.normal(size=(n, 1)), rng.normal(size=(n, len(accuracies)))
    from scipy.special import ndtri

    return ((common + own) / np.sqrt(2) < ndtri(accuracies)).astype(float)


def test_the_best_of_equals_is_no_better_than_they_are():
    rng = np.random.default_rng(0)
    accuracies = np.full(15, 0.8)
    results = [corrected(Candidates(right(rng, 100, accuracies)), seed=seed) for seed in range(100)]
    naive, honest = np.mean([r.naive for r in results]), np.mean([r.value for r in results])
    assert naive > 0.84
    assert honest == pytest.approx(0.8, abs=0.012)
    assert np.mean([r.low <= 0.8 <= r.high for r in results]) >= 0.93
    assert all(r.optimism == pytest.approx(r.naive - r.value) for r in results)


def test_a_clear_winner_has_no_optimism():
    rng = np.random.default_rng(1)
    scores = right(rng, 300, np.array([0.95, 0.6, 0.5]))
    got = corrected(Candidates(scores))
    assert got.chosen == 0
    assert got.optimism == pytest.approx(0.0, abs=1e-9)
    plain = mean_interval(scores[:, 0])
    assert (got.value, got.low, got.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_it_equals_the_papers_estimate():
    """BBC-CV as published: the mean out-of-bag score of the candidate selected in the bag."""
    scores = right(np.random.default_rng(2), 200, np.full(6, 0.7))
    outside = []
    for weights in bootstrap_weights(200, seed=9, replicates=4000):
        for drawn in weights:
            outside.append(scores[drawn == 0, (drawn @ scores).argmax()].mean())
    assert corrected(Candidates(scores), seed=0).value == pytest.approx(np.mean(outside), abs=0.004)


def test_the_rule_is_the_one_given_and_the_seed_decides():
    scores = right(np.random.default_rng(3), 150, np.full(8, 0.75))
    rule = one_standard_error(np.arange(8.0)[::-1], np.ones(8))
    got = corrected(Candidates(scores, rule), seed=5)
    assert got == corrected(Candidates(scores, rule), seed=5)
    assert got.naive == scores[:, got.chosen].mean()
    assert got.low <= got.value <= got.high


def test_what_is_selected_by_its_loss_is_flattered_by_it():
    """Of 12 equals within one standard error the smallest log loss is taken, and it is small where items went well."""
    rng = np.random.default_rng(8)
    fixed, redrawn, naive = [], [], []
    for seed in range(60):
        margins = (rng.normal(size=(100, 1)) + rng.normal(size=(100, 12))) / np.sqrt(2) + 0.84  # 80 % are above 0
        scores, losses = (margins > 0).astype(float), np.logaddexp(0.0, -3 * margins)
        rule = one_standard_error(np.ones(12), losses.mean(axis=0))
        without, got = (
            corrected(Candidates(scores, rule), seed=seed),
            corrected(Candidates(scores, rule, losses), seed=seed),
        )
        assert without.chosen == got.chosen
        naive.append(got.naive)
        fixed.append(without.optimism)
        redrawn.append(got.optimism)
    true = np.mean(naive) - 0.7995
    assert np.mean(redrawn) == pytest.approx(true, abs=0.008)
    assert np.mean(fixed) < true - 0.01


def test_whole_groups_are_drawn():
    """Each candidate is right on a random half of 8 groups: by items the winner looks proven, by groups it does not."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(8), 25)
    scores = (rng.random((8, 10)) < 0.5).astype(float)[groups]
    by_item, by_group = corrected(Candidates(scores)), corrected(Candidates(scores), groups)
    assert by_group.optimism > 2 * by_item.optimism
    assert by_group.high - by_group.low > 2 * (by_item.high - by_item.low)


def test_one_on_each_side_is_the_paired_difference():
    scores = right(np.random.default_rng(5), 100, np.array([0.9, 0.7]))
    assert selected_gain(Candidates(scores[:, :1]), Candidates(scores[:, 1:])) == paired_difference(
        scores[:, 0], scores[:, 1]
    )


def test_what_is_judged_need_not_be_what_selects():
    """Selected by noise, judged by what noise cannot tell: nothing is flattered; by the noise itself it is."""
    rng = np.random.default_rng(7)
    noise, worth = right(rng, 100, np.full(12, 0.8)), rng.normal(size=(100, 12))
    plain = np.zeros((100, 1))
    chosen = int(noise.mean(axis=0).argmax())
    own = paired_difference(worth[:, chosen], plain[:, 0])
    got = selected_gain(Candidates(noise), Candidates(plain), judged=(worth, plain))
    assert got.value == pytest.approx(own.value, abs=0.05)
    assert selected_gain(Candidates(noise), Candidates(plain)).value < noise.mean(axis=0).max() - 0.01


def test_coverage_of_the_gain_where_both_sides_were_selected():
    rng = np.random.default_rng(6)
    held, claimed = [], []
    for seed in range(120):
        ours, theirs = np.clip(0.8 + 0.02 * rng.normal(size=(2, 8)), 0, 0.99)
        scores = right(rng, 120, np.concatenate([ours, theirs[:4]]))
        got = selected_gain(Candidates(scores[:, :8]), Candidates(scores[:, 8:]), seed=seed)
        truth = ours[scores[:, :8].sum(axis=0).argmax()] - theirs[scores[:, 8:].sum(axis=0).argmax()]
        held.append(got.low <= truth <= got.high)
        claimed.append(got.low > 0 and truth <= 0)
    assert np.mean(held) >= 0.92
    assert np.mean(claimed) <= 0.04


@pytest.mark.parametrize("seed", range(20))
def test_nothing_leaves_what_scores_can_be(seed):
    """R2 is at most 1, though its items' scores are skewed; an accuracy is from 0 to 1, a gain in it from -1 to 1."""
    rng = np.random.default_rng(seed)
    near_one = 1 - np.abs(rng.standard_cauchy((12, 4))) ** 3 / 50
    got = corrected(Candidates(near_one))
    assert got.low <= got.value <= got.high <= 1
    mean = mean_interval(near_one[:, 0])
    assert mean.low <= mean.value <= mean.high <= 1
    rare = right(rng, 8, np.full(30, 0.02))
    got = corrected(Candidates(rare))
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.optimism == pytest.approx(got.naive - got.value)
    gain = selected_gain(Candidates(1 - rare), Candidates(rare))
    assert -1 <= gain.low <= gain.value <= gain.high <= 1


def test_one_group_cannot_be_resampled():
    got = corrected(Candidates(np.ones((5, 2))), np.zeros(5, np.int64))
    assert got.optimism == 0.0
    assert np.isnan(got.low)


def test_no_candidates_are_refused():
    with pytest.raises(DataError, match=r"shape \(5, 0\)"):
        corrected(Candidates(np.ones((5, 0))))
