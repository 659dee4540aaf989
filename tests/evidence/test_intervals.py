"""Coverage by simulation: 95 % intervals hold the truth in about 95 % of samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp

from headstart.errors import DataError
from headstart.evidence import Interval, mean_interval, paired_difference


def agreement(only_a: int, only_b: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong scores of two models that disagree on the given numbers of items."""
    a, b = np.ones(n), np.ones(n)
    b[:only_a] = 0
    a[only_a : only_a + only_b] = 0
    return a, b


def test_json_has_null_for_what_is_undefined():
    assert Interval(0.5, math.nan, math.inf).json() == {"value": 0.5, "low": None, "high": None}


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (99, 100), (100, 100), (5000, 9000)])
def test_ungrouped_accuracy_is_wilson(right, n):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    got = mean_interval(np.repeat([1.0, 0.0], [right, n - right]))
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_an_unbounded_mean_is_students_t():
    x = np.random.default_rng(0).normal(size=12)
    expected = ttest_1samp(x, 0.0).confidence_interval()
    got = mean_interval(x)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_an_unbounded_mean_of_groups_is_students_t_on_their_means():
    x = np.random.default_rng(0).normal(size=(8, 5))
    expected = ttest_1samp(x.mean(axis=1), 0.0).confidence_interval()
    got = mean_interval(x.ravel(), np.repeat(np.arange(8), 5))
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_groups_widen_the_interval_and_a_single_group_gives_none():
    right = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 10)
    alone, together = mean_interval(right), mean_interval(right, np.repeat(np.arange(6), 10))
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert math.isnan(mean_interval(right, np.zeros(60, np.int64)).low)


@pytest.mark.parametrize("accuracy", [0.7, 0.95])
@pytest.mark.parametrize(("groups", "size"), [(10, 10), (50, 4)])
def test_coverage_of_grouped_accuracy(accuracy, groups, size):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(groups), size)
    held = []
    for _ in range(400):
        of_group = rng.beta(5 * accuracy, 5 * (1 - accuracy), groups)  # intra-group correlation 1/6
        got = mean_interval((rng.random(groups * size) < of_group[codes]).astype(float), codes)
        held.append(got.low <= accuracy <= got.high)
    assert 0.93 <= np.mean(held) <= 0.995


@pytest.mark.parametrize(("groups", "size", "within"), [(5, 50, 0.05), (5, 50, 0.2), (6, 500, 0.05), (10, 200, 0.05)])
def test_coverage_of_few_large_groups(groups, size, within):
    """Beta-binomial groups of accuracy 0.9; `within` is the correlation inside them."""
    rng, codes = np.random.default_rng(1), np.repeat(np.arange(groups), size)
    held, widths = [], []
    for _ in range(400):
        of_group = rng.beta(0.9 * (1 / within - 1), 0.1 * (1 / within - 1), groups)
        got = mean_interval((rng.random(groups * size) < of_group[codes]).astype(float), codes)
        held.append(got.low <= 0.9 <= got.high)
        widths.append(got.high - got.low)
    assert np.mean(held) >= 0.94
    assert np.mean(widths) < 0.4


def test_five_groups_without_a_mistake_prove_little_and_mistakes_all_over_more():
    codes = np.repeat(np.arange(5), 50)
    perfect, good = np.ones(250), (np.arange(250) % 17 != 0).astype(float)
    assert mean_interval(perfect, codes).low < 0.65
    assert mean_interval(good, codes).low > 0.8


@pytest.mark.parametrize(
    ("p10", "p01", "most"),
    [(0.3, 0.2, 0.97), (0.1, 0.1, 0.97), (0.1, 0.02, 0.97), (0.05, 0.01, 0.975), (0.02, 0.02, 1)],
)
def test_coverage_of_a_paired_difference_of_right_and_wrong(p10, p01, most):
    """Exactly, over the trinomial distribution of disagreements at n = 100; conservative where they are rare."""
    n, covered = 100, 0.0
    from scipy.stats import multinomial

    for i in range(n + 1):
        for j in range(n + 1 - i):
            weight = multinomial.pmf([i, j, n - i - j], n, [p10, p01, 1 - p10 - p01]) if i + j < 90 else 0.0
            if weight > 1e-7:
                got = paired_difference(*agreement(i, j, n))
                covered += weight * (got.low <= p10 - p01 <= got.high)
    assert 0.93 <= covered <= most


def test_the_paired_difference_of_right_and_wrong_by_hand():
    got = paired_difference(*agreement(9, 2, 50))
    p10, p01 = 10 / 52, 3 / 52
    half = norm.ppf(0.975) * math.sqrt((p10 + p01 - (p10 - p01) ** 2) / 52)
    assert (got.value, got.low, got.high) == pytest.approx((7 / 50, p10 - p01 - half, p10 - p01 + half))


def test_four_disagreements_in_one_direction_prove_nothing():
    assert paired_difference(*agreement(4, 0, 100)).low < 0  # exact McNemar: p = 1/8
    grouped = paired_difference(*agreement(4, 0, 100), np.arange(100))
    assert grouped.low < 0


@pytest.mark.parametrize("differing", [0.1, 0.5, 1.0])
def test_coverage_of_a_paired_difference_of_graded_scores(differing):
    rng = np.random.default_rng(1)
    truth = differing * 0.05
    held = []
    for _ in range(1000):
        d = np.where(rng.random(100) < differing, rng.choice([-0.5, -0.2, 0.3, 0.6], 100), 0.0)
        got = paired_difference(d, np.zeros(100))
        held.append(got.low <= truth <= got.high)
    assert 0.93 <= np.mean(held) <= 0.99


def test_coverage_of_a_paired_difference_over_groups():
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(20), 10)
    held = []
    for _ in range(500):
        a, b = ((rng.random(200) < rng.beta(4, 1, 20)[codes]).astype(float) for _ in range(2))
        got = paired_difference(a, b, codes)
        held.append(got.low <= 0 <= got.high)
    assert 0.93 <= np.mean(held) <= 0.975


@pytest.mark.parametrize("grouped", [False, True])
def test_swapping_the_models_mirrors_the_difference_and_order_does_not_matter(grouped):
    rng = np.random.default_rng(3)
    a, b = rng.random(60).round(1), rng.random(60).round(1)
    groups = np.repeat(np.arange(12), 5) if grouped else None
    got, mirrored = paired_difference(a, b, groups), paired_difference(b, a, groups)
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx((-got.value, -got.high, -got.low))
    order = rng.permutation(60)
    shuffled = paired_difference(a[order], b[order], groups[order] if grouped else None)
    assert (shuffled.low, shuffled.high) == pytest.approx((got.low, got.high))


def test_identical_models_differ_by_nothing():
    x = np.random.default_rng(0).random(20)
    assert paired_difference(x, x) == Interval(0.0, 0.0, 0.0)
    right = np.ones(20)
    got = paired_difference(right, right)
    assert got.low < 0 < got.high  # twenty items cannot rule a difference out


def test_more_wins_never_lower_the_interval():
    lows = [paired_difference(*agreement(wins, 3, 100)).low for wins in range(60)]
    assert (np.diff(lows) > 0).all()


def test_unequal_numbers_of_items_are_refused():
    with pytest.raises(DataError, match="3 and 4 item scores"):
        paired_difference(np.ones(3), np.ones(4))


def test_groups_that_agree_do_not_make_two_models_one():
    """The true difference may still be anything that so few groups would seldom show: not one point wide."""
    right, groups = np.ones(60), np.repeat(np.arange(12), 5)
    interval = paired_difference(right, right, groups)
    assert interval == paired_difference(np.ones(12), np.ones(12))
    assert interval.low < -0.1 < interval.value == 0.0 < 0.1 < interval.high
