"""Out-of-fold predictions against refits by hand; what a fold must never see."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from headstart import registry
from headstart.data.splits import folds
from headstart.estimators import ArrayView
from headstart.evidence.calibration import Calibration
from headstart.plan import crossfit as module
from headstart.plan.crossfit import Problem, crossfit, fit_all
from headstart.tasks import Target


def problem(seed: int = 0, n: int = 60) -> tuple[ArrayView, Problem]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.normal(size=(n, 8)) + 1.5 * np.eye(3, 8)[y]
    target = Target("multiclass", y, ("a", "b", "c"))
    return ArrayView(x), Problem(target, folds(target, k=4, seed=1), None, None, 0)


@pytest.mark.parametrize("name", ["ridge", "logistic", "means", "knn", "boosted-trees"])
def test_out_of_fold_scores_equal_a_refit_without_the_fold(name):
    view, task = problem()
    head = registry.get("headstart.heads", name)
    found = crossfit(view, head, task)
    fold = task.folds[2]
    alone = head.fit(view.matrix(fold.train), task.target.take(fold.train), seed=0)
    assert np.allclose(found.scores[fold.test], alone.scores(view.matrix(fold.test)))
    if alone.loo_scores is not None:
        calibration = Calibration.fit("multiclass", alone.loo_scores, task.target.take(fold.train))
        assert np.allclose(found.probabilities[fold.test], calibration.probabilities(found.scores[fold.test]))


@pytest.mark.parametrize("name", ["ridge", "boosted-trees"])
def test_a_folds_predictions_do_not_depend_on_its_labels(name):
    view, task = problem()
    head = registry.get("headstart.heads", name)
    before = crossfit(view, head, task)
    fold = task.folds[0]
    y = task.target.y.copy()
    y[fold.test] = (y[fold.test] + 1) % 3
    changed = Problem(Target("multiclass", y, task.target.classes), task.folds, None, None, 0)
    after = crossfit(view, head, changed)
    assert np.allclose(before.scores[fold.test], after.scores[fold.test])


def test_probabilities_sum_to_one_and_the_final_fit_is_calibrated():
    view, task = problem()
    head = registry.get("headstart.heads", "ridge")
    found = crossfit(view, head, task)
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    fitted = fit_all(view, head, task, found)
    rows = np.arange(60)
    p = fitted.calibration.probabilities(fitted.head.scores(fitted.view.matrix(rows)))
    assert (p.argmax(axis=1) == task.target.y).mean() > 0.7


@pytest.mark.parametrize("most", [0, 100_000_000])
def test_the_main_thread_never_fits_and_so_hears_ctrl_c(monkeypatch, most):
    monkeypatch.setattr(module, "_LARGE", most)
    view, task = problem()
    ridge, threads = registry.get("headstart.heads", "ridge"), []

    class Head:
        def fit(self, *given, **more):
            threads.append(threading.current_thread())
            return ridge.fit(*given, **more)

    fit_all(view, Head(), task, crossfit(view, Head(), task))
    assert len(threads) == 5
    assert threading.main_thread() not in threads


def test_groups_reach_the_head():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 20)
    x = rng.normal(size=(40, 3)) + y[:, None]
    target, groups = Target("binary", y, ("a", "b")), np.repeat(np.arange(10), 4)
    splits = folds(target, groups=groups, k=5, seed=0)
    head = registry.get("headstart.heads", "ridge")
    found = crossfit(ArrayView(x), head, Problem(target, splits, groups, None, 0))
    alone = head.fit(x[splits[0].train], target.take(splits[0].train), groups=groups[splits[0].train])
    assert np.allclose(found.scores[splits[0].test], alone.scores(x[splits[0].test]))


@pytest.mark.parametrize("name", ["ridge", "logistic", "means", "knn", "boosted-trees"])
def test_two_groups_are_enough(name):
    """Each fold learns from one group alone, of which no group can be left out."""
    rng = np.random.default_rng(0)
    y, groups = np.tile([0, 1], 20), np.repeat([0, 1], 20)
    x = rng.normal(size=(40, 3)) + 3 * y[:, None]
    target = Target("binary", y, ("a", "b"))
    task = Problem(target, folds(target, groups=groups, k=5, seed=0), groups, None, 0)
    view, head = ArrayView(x), registry.get("headstart.heads", name)
    found = crossfit(view, head, task)
    assert len(task.folds) == 2
    assert (found.probabilities.argmax(axis=1) == y).mean() > 0.8
    alone = head.fit(x[:20], target.take(np.arange(20)))
    assert np.allclose(found.scores[20:], alone.scores(x[20:]))
