"""Labels saved: against brute force, scikit-learn's isotonic regression, and simulated curves whose ratio is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import norm

from headstart.errors import DataError
from headstart.evidence.curve import Curve, labels_for, labels_saved, point_interval, rising
from headstart.evidence.intervals import mean_interval

SIZES = np.array([2.0, 4, 10, 20, 40, 100, 200])


def exact(labels, means) -> Curve:
    """A curve of items that all score the mean, so that nothing is random."""
    return Curve(np.asarray(labels, float), [np.full((1, 4), mean) for mean in means])


@pytest.mark.parametrize("seed", range(20))
def test_rising_is_isotonic_regression(seed):
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=rng.integers(1, 12)), 1)  # ties too
    expected = isotonic.IsotonicRegression().fit_transform(np.arange(len(values)), values)
    np.testing.assert_allclose(rising(values), expected, atol=1e-12)


def test_labels_for_a_score_against_a_fine_grid():
    labels, scores = np.array([1.0, 2, 10, 100]), np.array([0.2, 0.5, 0.5, 0.9])
    grid = np.exp(np.linspace(0, np.log(100), 200_001))
    drawn = np.interp(np.log(grid), np.log(labels), scores)
    for goal in (0.21, 0.35, 0.5, 0.51, 0.77, 0.9):
        found, first = labels_for(goal, labels, scores)
        assert not first
        assert found == pytest.approx(grid[np.argmax(drawn >= goal - 1e-12)], rel=1e-3)
    assert labels_for(0.2, labels, scores) == (1.0, True)
    assert labels_for(0.1, labels, scores) == (1.0, True)


def test_a_shifted_curve_saves_the_shift():
    """theirs(n) = ours(n / 4), both on a straight line over log n: the ratio is 4 wherever it is measured."""
    means = 0.3 + 0.1 * np.log(SIZES)
    saved = labels_saved(exact(SIZES, means), exact(SIZES, means - 0.1 * math.log(4)))
    assert saved.value == pytest.approx(4)
    assert (saved.low, saved.high) == pytest.approx((4, 4))
    assert saved.bound == ""
    assert saved.theirs == pytest.approx(200)
    assert saved.ours == pytest.approx(50)
    back = labels_saved(exact(SIZES, means - 0.1 * math.log(4)), exact(SIZES, means))
    assert back.value == pytest.approx(1 / 4)


def test_curves_that_do_not_meet_give_a_bound():
    high, low = exact([2, 20, 200], [0.8, 0.9, 0.95]), exact([2, 20, 200], [0.5, 0.6, 0.7])
    more, less = labels_saved(high, low), labels_saved(low, high)
    assert (more.bound, more.value, more.low, more.high) == ("more", 100.0, 100.0, math.inf)
    assert (less.bound, less.value, less.low, less.high) == ("less", 0.01, 0.0, 0.01)
    assert more.json()["high"] is None
    assert json.loads(json.dumps(less.json(), allow_nan=False))["bound"] == "less"


def test_equal_curves_tell_a_ratio_of_one_and_flat_ones_nothing():
    same = exact([2, 20], [0.5, 0.7])
    assert labels_saved(same, same).value == 1.0
    flat = labels_saved(exact([2, 20], [0.9, 0.9]), exact([2, 20], [0.9, 0.9]))
    assert math.isnan(flat.value)
    assert flat.json()["value"] is None


def test_a_single_number_of_labels_tells_no_ratio():
    assert math.isnan(labels_saved(exact([8], [0.9]), exact([8], [0.5])).value)


def simulated(rng: np.random.Generator, ratio: float, draws: int, items: int = 250) -> list[Curve]:
    """Ours and theirs, with theirs(n) = ours(n / ratio): items of unequal difficulty, draws of unequal luck."""
    difficulty = rng.normal(size=items)
    curves = []
    for more in (ratio, 1.0):
        scores = []
        for k, labels in enumerate(SIZES):
            count = draws if k < len(SIZES) - 1 else 1
            accuracy = 0.98 - 0.75 * (more * labels + 1) ** -0.35
            luck = 0.05 * rng.normal(size=(count, 1)) / math.sqrt(labels / 2)
            ability = norm.ppf(np.clip(accuracy + luck, 0.01, 0.99)) * math.sqrt(2)
            scores.append((ability + difficulty + rng.normal(size=(count, items)) > 0).astype(float))
        curves.append(Curve(SIZES, scores))
    return curves


@pytest.mark.parametrize(("ratio", "draws"), [(1.0, 5), (4.0, 3), (12.0, 5)])
def test_the_interval_holds_a_known_ratio(ratio, draws):
    found = [labels_saved(*simulated(np.random.default_rng([draws, k]), ratio, draws), seed=k) for k in range(40)]
    missed = sum(not saved.low <= ratio <= saved.high for saved in found)
    assert missed <= 4  # 40 intervals of 95 %: more than 4 misses come once in 20
    assert ratio / 1.5 < np.median([saved.value for saved in found]) < ratio * 1.5


def test_the_interval_narrows_with_items_and_draws():
    """It is neither everything nor nothing."""

    def width(draws, items):
        saved = labels_saved(*simulated(np.random.default_rng(3), 4.0, draws, items))
        return math.log(saved.high / saved.low)

    assert width(8, 4000) < 0.7 * width(3, 200)
    assert width(8, 4000) > 0.05


def test_groups_widen_the_interval():
    """Every item eight times: with the copies as one group the interval is that of the single items."""
    ours, theirs = simulated(np.random.default_rng(5), 4.0, 4)
    many = [Curve(SIZES, [np.repeat(scores, 8, axis=1) for scores in curve.scores]) for curve in (ours, theirs)]
    groups = np.repeat(np.arange(250), 8)
    single, grouped, naive = labels_saved(ours, theirs), labels_saved(*many, groups), labels_saved(*many)
    assert grouped == single
    assert naive.high / naive.low < grouped.high / grouped.low


def test_the_same_seed_gives_the_same_interval():
    curves = simulated(np.random.default_rng(1), 3.0, 4)
    assert labels_saved(*curves, seed=4) == labels_saved(*curves, seed=4)
    assert labels_saved(*curves, seed=4) != labels_saved(*curves, seed=5)


def test_a_point_of_one_draw_has_the_interval_of_its_items():
    scores = (np.random.default_rng(0).random((1, 80)) < 0.7).astype(float)
    assert point_interval(scores) == mean_interval(scores[0])


def test_a_point_of_several_draws_has_their_doubt_too():
    """Simulated: 95 % intervals of accuracies of which draw and item are both random hold the mean."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(200):
        ability = norm.ppf(0.8) * math.sqrt(2.25) + 0.5 * rng.normal(size=(5, 1)) + rng.normal(size=150)
        scores = (ability + rng.normal(size=(5, 150)) > 0).astype(float)
        interval = point_interval(scores)
        missed += not interval.low <= 0.8 <= interval.high
        assert interval.low < scores.mean() < interval.high
    assert missed <= 16
    assert point_interval(np.ones((5, 30))).high == 1.0


@pytest.mark.parametrize(
    ("labels", "shapes"),
    [
        ([], []),
        ([2, 2], [(1, 3), (1, 3)]),
        ([0, 2], [(1, 3), (1, 3)]),
        ([2, 4], [(1, 3)]),
        ([2, 4], [(1, 3), (1, 4)]),
        ([2, 4], [(2, 3), (3, 3)]),
    ],
)
def test_what_is_no_curve(labels, shapes):
    with pytest.raises(DataError, match="ascending"):
        Curve(np.array(labels, float), [np.zeros(shape) for shape in shapes])


def test_curves_of_other_items_or_draws_are_not_compared():
    one = Curve(np.array([2.0, 4]), [np.zeros((3, 5)), np.zeros((1, 5))])
    for other in (exact([2, 4], [0, 0]), Curve(one.labels, [np.zeros((2, 5)), np.zeros((1, 5))])):
        with pytest.raises(DataError, match="same test items and draws"):
            labels_saved(one, other)
