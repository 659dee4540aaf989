"""Draws are nested and fair; a point is what a plain fit on the draw says; test labels choose nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from headstart.adapt.base import Reading
from headstart.data.splits import holdout
from headstart.errors import EngineError
from headstart.evidence.calibration import Calibration
from headstart.evidence.metrics import item_scores
from headstart.features.blocks import Features
from headstart.heads.ridge import Ridge
from headstart.plan.candidates import frozen
from headstart.plan.curve import Closed, Moving, draw, inner_folds, trace
from headstart.plan.views import SourceView
from headstart.tasks import Target


def labels(*counts: int) -> Target:
    y = np.repeat(np.arange(len(counts)), counts)
    return Target("multiclass", np.random.default_rng(0).permutation(y), tuple("abcdefgh"[: len(counts)]))


def test_draws_are_nested_and_hold_so_many_of_each_class():
    target = labels(40, 12, 3)
    pool = np.arange(0, 55)
    draws = draw(target, pool, (5, 1, 2, 10, 99), 4, seed=7)
    assert [one.size for one in draws] == [1] * 4 + [2] * 4 + [5] * 4 + [10] * 4 + [None]
    for one in draws:
        held = np.bincount(target.y[one.rows], minlength=3)
        expected = [40, 12, 3] if one.size is None else [min(one.size, count) for count in (40, 12, 3)]
        assert held.tolist() == expected
        assert (np.diff(one.rows) > 0).all()
    for number in range(4):
        chain = [set(one.rows.tolist()) for one in draws if one.number == number and one.size is not None]
        assert all(small < large for small, large in pairwise(chain))
    fives = [tuple(one.rows) for one in draws if one.size == 5]
    assert len(set(fives)) == 4


def test_draws_keep_to_the_pool_and_to_the_seed():
    target, pool = labels(20, 20), np.arange(5, 30)
    first, again, other = (draw(target, pool, (1, 4), 3, seed) for seed in (0, 0, 1))
    assert all(np.isin(one.rows, pool).all() for one in first)
    assert np.array_equal(first[-1].rows, pool)
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a.rows, b.rows) for a, b in zip(first[:-1], other[:-1], strict=True))


def test_a_size_that_takes_everything_is_all():
    target = labels(6, 6)
    assert [one.size for one in draw(target, np.arange(12), (2, 6, 50), 2, 0)] == [2, 2, None]
    assert [one.size for one in draw(target, np.arange(12), (6,), 2, 0)] == [None]


def test_draws_of_many_labels_hold_each_label_so_often():
    rng = np.random.default_rng(0)
    y = (rng.random((80, 4)) < [0.6, 0.3, 0.2, 0.05]).astype(np.uint8)
    target = Target("multilabel", y, ("a", "b", "c", "d"))
    for one in draw(target, np.arange(80), (1, 3, 8), 3, 0)[:-1]:
        held = y[one.rows].sum(axis=0)
        assert (held >= np.minimum(one.size, y.sum(axis=0))).all()
        assert len(one.rows) <= 4 * one.size


@pytest.fixture
def split(make_case):
    """A case with a held-out third, and the draws of the rest."""
    case = make_case("multiclass", n=120)
    fold = holdout(case.problem.target, 1 / 3, seed=0)
    return case, draw(case.problem.target, fold.train, (1, 2, 5, 10), 3, 0), fold.test


def test_a_point_is_a_plain_fit_on_the_draw(split):
    case, draws, test = split
    view = SourceView(case.job.features, case.job.source, case.job.source.taps, "all")
    found = trace(Closed("probe", (frozen(view, "ridge"),)), case.problem, draws, test)
    assert found.sizes == (1, 2, 5, 10, None)
    assert found.curve.labels.tolist() == [3, 6, 15, 30, 80]
    x, target = case.job.features.matrix, case.problem.target
    for size, scores in zip(found.sizes, found.curve.scores, strict=True):
        rows = [one.rows for one in draws if one.size == size]
        assert len(scores) == len(rows)
        for got, own in zip(scores, rows, strict=True):
            fitted, learned = Ridge().fit(x[own], target.take(own)), target.take(own)
            plain = Calibration.fit("multiclass", fitted.loo_scores, learned).probabilities(fitted.scores(x[test]))
            np.testing.assert_array_equal(got, plain.argmax(axis=1) == target.y[test])


def test_the_labels_of_test_items_choose_nothing(split):
    """Other labels for the test items: the predictions stay as they are."""
    case, draws, test = split
    y = case.problem.target.y.copy()
    y[test] = (y[test] + 1) % 3
    view = SourceView(case.job.features, case.job.source, case.job.source.taps, "all")
    learners = [
        Closed("probe", (frozen(view, "ridge"), frozen(view, "means"), frozen(view, "boosted-trees"))),
        Moving("fake", case.tuned()),
    ]
    other = replace(case.problem, target=replace(case.problem.target, y=y))
    for learner in learners:
        if isinstance(learner, Moving):
            changed = Moving("fake", replace(learner.candidate, job=replace(case.job, target=other.target)))
        else:
            changed = learner
        for one in (draws[0], draws[-1]):
            said = learner.learn(case.problem, one.rows, test)
            again = changed.learn(other, one.rows, test)
            np.testing.assert_array_equal(said.probabilities, again.probabilities)
            assert said.chosen == again.chosen


def test_the_draws_own_labels_choose_the_view(split):
    """The features that tell against noise, each in either place."""
    case, draws, test = split
    noise = np.random.default_rng(9).normal(size=case.hidden.shape).astype(np.float16)
    good, bad = (
        SourceView(Features(case.job.features.taps, x.astype(np.float16)), case.job.source, case.job.source.taps, name)
        for name, x in (("good", case.hidden), ("bad", noise))
    )
    for order in ((good, bad), (bad, good)):
        learner = Closed("probe", tuple(frozen(view, "ridge") for view in order))
        assert learner.learn(case.problem, draws[-1].rows, test).chosen == "frozen-ridge-good"
    one_each = draws[0].rows  # nothing can be left out and still be known: the first is taken
    assert Closed("p", (frozen(bad, "ridge"), frozen(good, "ridge"))).learn(case.problem, one_each, test).chosen == (
        "frozen-ridge-bad"
    )


def test_boosted_trees_wait_for_labels(split):
    case, draws, test = split
    view = SourceView(case.job.features, case.job.source, case.job.source.taps, "all")
    found = trace(Closed("x", (frozen(view, "ridge"), frozen(view, "boosted-trees"))), case.problem, draws, test)
    for size, chosen in zip(found.sizes, found.chosen, strict=True):
        assert size is None or size >= 5 or not chosen["frozen-boosted-trees-all"]
    alone = trace(Closed("x", (frozen(view, "boosted-trees"),)), case.problem, draws[-1:], test)
    assert alone.curve.means[0] > 0.4


def test_what_moves_weights_is_read_off_inside_the_draw(split):
    """Hidden features that tell nothing make the first reading the best; telling ones the last."""
    case, draws, test = split
    worse = np.random.default_rng(1).normal(size=case.hidden.shape)
    strong = replace(case.job, features=Features(case.job.features.taps, case.hidden.astype(np.float16)))
    tuned = case.tuned(hidden=worse)
    spoiled = Moving("fake", replace(tuned, job=strong)).learn(case.problem, draws[-1].rows, test)
    helped = Moving("fake", case.tuned()).learn(case.problem, draws[-1].rows, test)
    assert spoiled.chosen.startswith("epoch 1,")
    assert helped.chosen.startswith("epoch 4,")
    assert item_scores(case.problem.target.take(test), helped.probabilities).mean() > 0.9


def test_trainings_see_the_draw_and_are_told_the_test_items_once(split):
    case, draws, test = split
    candidate = case.tuned()
    Moving("fake", candidate).learn(case.problem, draws[-1].rows, test)
    log = candidate.learner.log
    assert len(log) == 4  # three folds, and all of the draw
    for train, told in log[:3]:
        assert np.isin(train, draws[-1].rows).all()
        assert np.isin(told, draws[-1].rows).all()
        assert not np.isin(told, train).any()
    assert np.array_equal(log[3][0], draws[-1].rows)
    assert np.array_equal(log[3][1], test)


def test_one_label_a_class_is_read_at_the_end(split):
    case, draws, test = split
    candidate = case.tuned()
    said = Moving("fake", candidate).learn(case.problem, draws[0].rows, test)
    assert len(candidate.learner.log) == 1
    assert said.chosen == "the last reading"
    assert candidate.learner.readings(case.job, 3)[-1] == Reading(4)
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1)


def test_inner_folds_keep_groups_whole(make_case):
    groups = np.arange(90) // 6
    case = make_case("binary", n=90, groups=groups)
    train = np.arange(12, 72)
    for fold in inner_folds(case.problem, train):
        assert not np.intersect1d(groups[fold.train], groups[fold.test]).size
        assert np.array_equal(np.sort(np.r_[fold.train, fold.test]), train)
    assert inner_folds(case.problem, np.arange(12)) is None  # two groups


def test_a_draw_from_one_group_is_learned_from(make_case):
    """Leave-one-group-out would leave nothing: the items are left out one by one."""
    case = make_case("binary", n=90, groups=np.arange(90) // 30)
    view = SourceView(case.job.features, case.job.source, case.job.source.taps, "all")
    said = Closed("p", (frozen(view, "ridge"),)).learn(case.problem, np.arange(12), np.arange(30, 90))
    assert said.probabilities.shape == (60, 2)


def test_one_item_with_all_labels_is_not_alone():
    target = Target("multilabel", np.array([[1, 1]] * 9, np.uint8), ("a", "b"))
    assert [len(one.rows) for one in draw(target, np.arange(9), (1,), 3, 0)] == [2, 2, 2, 9]


def test_a_strategy_that_fails_raises(split):
    case, draws, test = split
    with pytest.raises(EngineError, match="no"):
        trace(Moving("fake", case.tuned(raises=EngineError("no"))), case.problem, draws, test)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_other_tasks(make_case, task):
    case = make_case(task, n=90)
    fold = holdout(case.problem.target, 0.3, seed=0)
    draws = draw(case.problem.target, fold.train, (1, 4), 2, 0)
    view = SourceView(case.job.features, case.job.source, case.job.source.taps, "all")
    for learner in (Closed("probe", (frozen(view, "ridge"), frozen(view, "boosted-trees"))), Moving("f", case.tuned())):
        found = trace(learner, case.problem, draws, fold.test)
        assert found.curve.means.shape == (3,)
        assert found.curve.means[-1] > 0.4
