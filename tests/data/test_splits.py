"""Splits: properties on random targets, and quality against scikit-learn."""

import numpy as np
import pytest

from headstart.data.splits import folds, holdout, latest, subset_per_class, usual_folds
from headstart.errors import DataError, OptionError
from headstart.tasks import Target


def exclusive(rng, n, classes, skew=1.0):
    weights = np.arange(1, classes + 1) ** -skew
    y = rng.choice(classes, n, p=weights / weights.sum())
    return Target("multiclass", y.astype(np.int64), tuple(map(str, range(classes))))


def multilabel(rng, n, classes):
    y = (rng.random((n, classes)) < rng.uniform(0.02, 0.5, classes)).astype(np.uint8)
    return Target("multilabel", y, tuple(map(str, range(classes))))


def numeric(rng, n):
    return Target("regression", rng.lognormal(size=n), ("y",))


TARGETS = {
    "even": lambda rng: exclusive(rng, 100, 4, 0),
    "skewed": lambda rng: exclusive(rng, 203, 12, 1.5),
    "multilabel": lambda rng: multilabel(rng, 150, 7),
    "numeric": lambda rng: numeric(rng, 97),
}


def check_partition(split, n):
    tested = np.concatenate([fold.test for fold in split])
    assert sorted(tested) == list(range(n))
    for fold in split:
        assert sorted(np.concatenate((fold.train, fold.test))) == list(range(n))
        assert len(fold.test) > 0
        assert fold.test.dtype == fold.train.dtype == np.int64
        assert (np.diff(fold.test) > 0).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("k", [2, 5, 10])
def test_folds_partition_and_repeat(kind, k, seed):
    target = TARGETS[kind](np.random.default_rng(seed))
    split = folds(target, k=k, seed=seed)
    assert len(split) == k
    check_partition(split, len(target))
    again = folds(target, k=k, seed=seed)
    assert all((a.test == b.test).all() for a, b in zip(split, again, strict=True))
    other = folds(target, k=k, seed=seed + 1)
    assert any(len(a.test) != len(b.test) or (a.test != b.test).any() for a, b in zip(split, other, strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_each_class_and_the_sizes_are_even_within_one_item(seed):
    rng = np.random.default_rng(seed)
    target = exclusive(rng, int(rng.integers(20, 300)), int(rng.integers(2, 20)), 1.0)
    split = folds(target, k=5, seed=seed)
    counts = np.array([np.bincount(target.y[fold.test], minlength=target.n_outputs) for fold in split])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_small_classes_are_spread_and_a_single_item_is_tested_once():
    target = Target("multiclass", np.array([0] * 20 + [1] * 3 + [2]), ("a", "b", "c"))
    tests = [target.y[fold.test] for fold in folds(target, k=5)]
    assert sorted((t == 1).sum() for t in tests) == [0, 0, 1, 1, 1]
    assert sorted((t == 2).sum() for t in tests) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_spread_over_their_range(seed):
    target = numeric(np.random.default_rng(seed), 500)
    rank = np.argsort(np.argsort(target.y))
    for fold in folds(target, k=5, seed=seed):
        # Of each tenth of the values, every fold has its part to within one.
        assert (np.abs(np.bincount(rank[fold.test] // 50) - 10) <= 1).all()


def test_labels_are_balanced_better_than_by_chance():
    def imbalance(target, sides):
        counts = np.array([target.y[side].sum(axis=0) for side in sides])
        return np.abs(counts - target.y.sum(axis=0) / 5).mean()

    ours, chance = [], []
    for seed in range(10):
        target = multilabel(np.random.default_rng(seed), 200, 8)
        ours.append(imbalance(target, [fold.test for fold in folds(target, seed=seed)]))
        order = np.random.default_rng(seed).permutation(200)
        chance.append(imbalance(target, np.array_split(order, 5)))
    assert np.mean(ours) < 0.35 * np.mean(chance)


def groups_of(rng, n, count):
    return rng.choice(count, n, p=rng.dirichlet(np.ones(count) * 2)).astype(np.int64)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", TARGETS)
def test_no_group_is_on_both_sides(kind, seed):
    rng = np.random.default_rng(seed)
    target = TARGETS[kind](rng)
    groups = groups_of(rng, len(target), 30)
    split = folds(target, groups=groups, k=5, seed=seed)
    check_partition(split, len(target))
    for fold in [*split, holdout(target, 0.3, groups=groups, seed=seed)]:
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_groups_are_balanced_as_well_as_scikit_learn_does():
    from sklearn.model_selection import StratifiedGroupKFold

    def spread(target, tests):
        counts = np.array([np.bincount(target.y[test], minlength=target.n_outputs) for test in tests])
        return (counts / np.bincount(target.y, minlength=target.n_outputs)).std(axis=0).mean()

    ours, theirs = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        groups = groups_of(rng, 400, 40)
        # Classes lean to some groups, as in real data.
        lean = rng.dirichlet(np.ones(4), 40)
        target = Target("multiclass", np.array([rng.choice(4, p=lean[g]) for g in groups]), ("a", "b", "c", "d"))
        ours.append(spread(target, [fold.test for fold in folds(target, groups=groups, seed=seed)]))
        peer = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        theirs.append(spread(target, [test for _, test in peer.split(np.zeros(400), target.y, groups)]))
    assert np.mean(ours) <= 1.05 * np.mean(theirs)


def test_fewer_groups_than_folds():
    target = Target("binary", np.array([0, 1] * 10), ("a", "b"))
    groups = np.repeat([7, 8, 9], [2, 4, 14])
    split = folds(target, groups=groups, k=5)
    assert len(split) == 3
    check_partition(split, 20)
    with pytest.raises(DataError, match="1 group"):
        folds(target, groups=np.zeros(20, np.int64))
    with pytest.raises(DataError, match="1 group"):
        holdout(target, 0.2, groups=np.zeros(20, np.int64))


@pytest.mark.parametrize("count", range(2, 11))
@pytest.mark.parametrize("seed", range(5))
def test_as_many_groups_as_folds_are_tested_one_by_one(count, seed):
    """Whatever their sizes and classes; scikit-learn's LeaveOneGroupOut gives the same parts."""
    from sklearn.model_selection import LeaveOneGroupOut

    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.r_[np.arange(count), groups_of(rng, 150, count)]) * 7
    target = exclusive(rng, len(groups), 3)
    for k in (count, usual_folds(len(groups), groups)):
        split = folds(target, groups=groups, k=k, seed=seed)
        expected = LeaveOneGroupOut().split(groups, groups=groups)
        assert sorted(fold.test.tolist() for fold in split) == sorted(test.tolist() for _, test in expected)


def test_how_many_folds():
    def groups(count, n):
        return np.arange(n) % count

    assert (usual_folds(100), usual_folds(101)) == (10, 5)
    for n, ten in ((90, 10), (300, 5)):
        found = {count: usual_folds(n, groups(count, n)) for count in (3, 5, 6, 9, 10, 11, 40)}
        assert found == {3: ten, 5: ten, 6: max(6, ten), 9: max(9, ten), 10: 10, 11: ten, 40: ten}


def test_fewer_items_than_folds():
    target = Target("binary", np.array([0, 1, 1]), ("a", "b"))
    split = folds(target, k=5)
    assert len(split) == 3
    check_partition(split, 3)
    with pytest.raises(DataError, match="1 item"):
        folds(target.take(np.array([0])))
    with pytest.raises(OptionError, match="at least two"):
        folds(target, k=1)


@pytest.mark.parametrize("seed", range(5))
def test_time_goes_forward(seed):
    rng = np.random.default_rng(seed)
    target = exclusive(rng, 120, 3)
    times = rng.integers(0, 25, 120).astype(float)
    split = folds(target, times=times, k=4)
    assert len(split) == 4
    for fold in split:
        assert times[fold.train].max() < times[fold.test].min()
    tested = np.concatenate([fold.test for fold in split])
    assert len(set(tested)) == len(tested)
    assert times[np.setdiff1d(np.arange(120), tested)].max() < times[tested].min()
    sizes = [len(fold.test) for fold in split]
    assert min(sizes) > 120 / 5 / 2


def test_time_with_groups_keeps_both_promises():
    rng = np.random.default_rng(0)
    times, groups = rng.random(100), rng.integers(0, 20, 100)
    for fold in folds(exclusive(rng, 100, 2), times=times, groups=groups, k=3):
        assert times[fold.train].max() < times[fold.test].min()
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_few_times():
    target = Target("binary", np.array([0, 1] * 5), ("a", "b"))
    assert len(folds(target, times=np.repeat([1.0, 2.0], 5))) == 1
    with pytest.raises(DataError, match="1 distinct times"):
        folds(target, times=np.ones(10))
    with pytest.raises(DataError, match="no time"):
        folds(target, times=np.array([np.nan] * 10))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("kind", TARGETS)
def test_holdout_has_the_fraction_of_items_and_classes(kind, fraction, seed):
    target = TARGETS[kind](np.random.default_rng(seed))
    fold = holdout(target, fraction, seed=seed)
    assert sorted(np.concatenate((fold.train, fold.test))) == list(range(len(target)))
    # Labels come first in iterative stratification; the size may be off by a few.
    assert abs(len(fold.test) - fraction * len(target)) <= (1 if kind != "multilabel" else 4)
    if target.exclusive:
        held = np.bincount(target.y[fold.test], minlength=target.n_outputs)
        assert (np.abs(held - fraction * np.bincount(target.y, minlength=target.n_outputs)) <= 1).all()
    assert (holdout(target, fraction, seed=seed).test == fold.test).all()


def test_holdout_is_never_empty():
    target = Target("binary", np.array([0, 1]), ("a", "b"))
    for seed in range(20):
        for fraction in (0.01, 0.99):
            fold = holdout(target, fraction, seed=seed)
            assert len(fold.train) == len(fold.test) == 1
    for fraction in (0, 1, -0.1, 1.5, float("nan")):
        with pytest.raises(OptionError, match="between 0 and 1"):
            holdout(target, fraction)


@pytest.mark.parametrize("seed", range(5))
def test_few_shot_draw(seed):
    target = exclusive(np.random.default_rng(seed), 200, 10, 1.5)
    drawn = subset_per_class(target, 8, seed=seed)
    expected = np.minimum(np.bincount(target.y, minlength=10), 8)
    assert (np.bincount(target.y[drawn], minlength=10) == expected).all()
    assert (np.diff(drawn) > 0).all()
    assert (subset_per_class(target, 8, seed=seed) == drawn).all()


def test_few_shot_draw_of_many_labels():
    target = multilabel(np.random.default_rng(0), 300, 6)
    drawn = subset_per_class(target, 5, seed=0)
    assert (target.y[drawn].sum(axis=0) >= 5).all()
    assert len(drawn) <= 30
    with pytest.raises(OptionError, match="no classes"):
        subset_per_class(numeric(np.random.default_rng(0), 9), 2, seed=0)
    with pytest.raises(OptionError, match="at least one"):
        subset_per_class(target, 0, seed=0)


def test_folds_that_would_learn_from_less_than_two_items_are_refused():
    two = Target("binary", np.array([0, 1]), ("a", "b"))
    with pytest.raises(DataError, match="each of the 2 items has a class of its own"):
        folds(two)
    with pytest.raises(DataError, match="2 items cannot be split so that two are left"):
        folds(Target("regression", np.array([0.0, 1.0]), ("y",)))
    with pytest.raises(DataError, match="4 items in 2 groups cannot be split"):
        folds(Target("binary", np.array([0, 1, 1, 0]), ("a", "b")), groups=np.array([0, 1, 1, 1]))
    with pytest.raises(DataError, match="fewer than two earlier items"):
        folds(Target("binary", np.array([0, 1, 1]), ("a", "b")), times=np.array([0.0, 1.0, 1.0]))
    assert len(folds(Target("binary", np.array([0, 1, 1]), ("a", "b")))) == 3


def test_a_class_an_item_cannot_be_checked():
    with pytest.raises(DataError, match=r"each of the 9 items has a class of its own.*another label"):
        folds(Target("multiclass", np.arange(9), tuple("abcdefghi")))


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("distinct", [2, 7, 400])
def test_the_latest_are_held_out_whole_times_together(fraction, distinct):
    rng = np.random.default_rng(distinct)
    times = rng.integers(0, distinct, 400).astype(float)
    fold = latest(times, fraction)
    assert sorted([*fold.train, *fold.test]) == list(range(400))
    assert times[fold.train].max() < times[fold.test].min()
    # No other cut between two times is nearer to the fraction.
    cuts = [np.count_nonzero(times >= time) for time in np.unique(times)[1:]]
    assert abs(len(fold.test) - 400 * fraction) == pytest.approx(min(abs(cut - 400 * fraction) for cut in cuts))


def test_a_group_of_the_latest_is_not_learned_from():
    rng = np.random.default_rng(0)
    times, groups = rng.random(100), rng.integers(0, 40, 100)
    fold = latest(times, 0.2, groups=groups)
    assert len(fold.test) == 20
    assert times[fold.train].max() < times[fold.test].min()
    assert not set(groups[fold.train]) & set(groups[fold.test])
    left = np.setdiff1d(np.arange(100), np.r_[fold.train, fold.test])
    assert set(groups[left]) <= set(groups[fold.test])


def test_times_that_cannot_be_cut():
    with pytest.raises(DataError, match="all items have the same time"):
        latest(np.ones(9), 0.3)
    with pytest.raises(DataError, match="fewer than two items of groups that are not tested are earlier"):
        latest(np.arange(9.0), 0.3, groups=np.zeros(9, np.int64))
    with pytest.raises(DataError, match="no time"):
        latest(np.array([np.nan] * 9), 0.3)
    with pytest.raises(OptionError, match="between 0 and 1"):
        latest(np.arange(9.0), 1)


def test_classes_that_follow_each_other_in_time_cannot_be_checked():
    target = Target("binary", np.repeat([0, 1], 10), ("a", "b"))
    with pytest.raises(DataError, match="no class stands both earlier and later"):
        folds(target, times=np.repeat([0.0, 1.0], 10))
    assert len(folds(target, times=np.arange(20.0))) == 5
