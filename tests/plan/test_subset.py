"""The part of a problem that is tried first."""

from __future__ import annotations

import numpy as np

from headstart.data.splits import folds
from headstart.plan.crossfit import Problem
from headstart.plan.subset import ITEMS, subset
from headstart.tasks import Target


def problem(n: int) -> Problem:
    y = (np.arange(n) % 10 == 0).astype(np.int64)
    target = Target("binary", y, ("a", "b"))
    return Problem(target, folds(target, k=5, seed=0), None, None, 0)


def test_a_subset_is_a_stratified_part_of_the_first_fold():
    whole = problem(6_000)
    small = subset(whole)
    assert small is not None
    (fold,) = small.folds
    assert abs(len(fold.train) - ITEMS) <= 2
    assert np.isin(fold.train, whole.folds[0].train).all()
    assert np.isin(fold.test, whole.folds[0].test).all()
    assert not np.isin(fold.train, fold.test).any()
    assert abs(small.target.y[fold.train].mean() - 0.1) < 0.01


def test_few_labels_have_no_subset():
    assert subset(problem(1_500)) is None
