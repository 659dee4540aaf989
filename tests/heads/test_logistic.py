"""Logistic regression against scikit-learn's at the same penalty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.errors import DataError
from headstart.heads import logistic_folds
from headstart.heads.eigenbasis import factorise
from headstart.heads.folds import inner_folds
from headstart.heads.likelihood import log_loss
from headstart.heads.logistic import Logistic
from headstart.heads.logistic_folds import ABSENT
from headstart.heads.moments import mean_eigenvalue
from headstart.heads.scaling import Scaling
from headstart.tasks import Target


def made(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    x = rng.normal(size=(classes, d))[codes] * 0.7 + rng.normal(size=(n, d))
    return (x * rng.uniform(0.1, 20, d) + 3), Target("multiclass", codes, tuple("abcdefgh"[:classes]))


def absolute(x, w, relative, classes):
    z = Scaling.fit(x, w).apply(x, np.float64)
    mean = mean_eigenvalue(float((w[:, None] * z**2).sum()), *x.shape)
    return z, relative * mean * (classes - 1) / classes**2


@pytest.mark.parametrize(("n", "d"), [(120, 8), (60, 100)])
@pytest.mark.parametrize("relative", [1.0, 0.03])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multinomial_is_scikit_learns(n, d, relative, dtype):
    x, target = made(n, d, 4)
    x = x.astype(dtype)
    w = np.random.default_rng(1).uniform(0.5, 2, n)
    z, penalty = absolute(x, w, relative, 4)
    reference = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(z, target.y, sample_weight=w)
    fitted = Logistic((relative,), tolerance=1e-9).fit(x, target, weights=w)
    scale = Scaling.fit(x, w).factor
    coef = fitted.map.weight / scale[:, None]
    np.testing.assert_allclose(coef, reference.coef_.T, atol=1e-3)
    expected = reference.decision_function(z)
    scores = fitted.scores(x)
    scores -= scores.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, expected - expected.mean(axis=1, keepdims=True), atol=1e-2)
    default = Logistic((relative,)).fit(x, target, weights=w).scores(x)
    assert (default.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_classes_are_multinomial_at_the_same_penalty(dtype, absent):
    """scikit-learn fits one logit v of two classes: |(-v / 2, v / 2)|^2 is half of |v|^2."""
    x, target = made(80, 12, 2)
    x, w = x.astype(dtype), np.random.default_rng(1).uniform(0.5, 2, 80)
    target = Target("multiclass", 2 * target.y, ("a", "b", "c")) if absent else target
    z, penalty = absolute(x, w, 0.1, 2)
    reference = LogisticRegression(C=2 / penalty, tol=1e-8, max_iter=5000).fit(z, target.y, sample_weight=w)
    scores = Logistic((0.1,), tolerance=1e-9).fit(x, target, weights=w).scores(x)
    last = 2 if absent else 1
    np.testing.assert_allclose(scores[:, last] - scores[:, 0], reference.decision_function(z), atol=1e-2)
    np.testing.assert_allclose(scores[:, last], -scores[:, 0], atol=1e-4)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_folds_beside_one_another_are_fitted_as_alone(monkeypatch, task):
    x, target = made(90, 30, 2 if task == "binary" else 4)
    if task == "multilabel":
        target = Target(task, (x[:, :3] > x[:, :3].mean(axis=0)).astype(np.uint8), ("a", "b", "c"))
    beside = Logistic().fit(x, target)
    monkeypatch.setattr(logistic_folds, "BESIDE", 1)
    alone = Logistic().fit(x, target)
    assert beside.settings == alone.settings
    np.testing.assert_allclose(beside.loo_scores, alone.loo_scores, atol=1e-6)


@pytest.mark.parametrize("d", [8, 90])
def test_eigenvectors_in_single_precision_are_enough(d):
    x, target = made(60, d, 3)
    x = x.astype(np.float32)
    basis = factorise(x, np.ones(60))
    single = replace(basis, vectors=basis.vectors.astype(np.float32))
    assert Logistic().fit_in(single, target).settings == Logistic().fit(x, target).settings
    head = Logistic((0.1,), tolerance=1e-8)
    found, expected = head.fit_in(single, target), head.fit(x, target)
    np.testing.assert_allclose(found.loo_scores, expected.loo_scores, atol=3e-3)
    np.testing.assert_allclose(found.scores(x), expected.scores(x), atol=3e-3)


def test_multilabel_is_one_binary_regression_a_label():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5))
    y = (x[:, :3] + rng.normal(size=(80, 3)) > 0.5).astype(np.uint8)
    z, penalty = absolute(x, np.ones(80), 0.1, 2)
    fitted = Logistic((0.1,), tolerance=1e-10).fit(x, Target("multilabel", y, ("a", "b", "c")))
    for label in range(3):
        reference = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(z, y[:, label])
        np.testing.assert_allclose(fitted.scores(x)[:, label], reference.decision_function(z), atol=2e-3)


@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_scores_are_of_fits_on_other_folds(grouped):
    x, target = made(60, 10, 3)
    groups = np.arange(60) // 4 if grouped else None
    fitted = Logistic((0.3,), tolerance=1e-10).fit(x, target, groups=groups, seed=5)
    folds = inner_folds(target, groups, 5, 5)
    z, penalty = absolute(x, np.ones(60), 0.3, 3)
    for fold in range(5):
        out = folds == fold
        reference = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(z[~out], target.y[~out])
        expected = reference.decision_function(z[out])
        scores = fitted.loo_scores[out] - fitted.loo_scores[out].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(scores, expected - expected.mean(axis=1, keepdims=True), atol=3e-3)


def test_the_penalty_with_the_least_out_of_fold_loss_is_chosen():
    x, target = made(90, 30, 3)
    grid = (10.0, 1.0, 0.1, 0.01)
    each = [Logistic((p,)).fit(x, target).loo_scores for p in grid]
    losses = [log_loss(scores, target.encoded(), True).sum() for scores in each]
    assert Logistic(grid).fit(x, target).settings["penalty"] == grid[int(np.argmin(losses))]


def test_inner_folds_are_even_and_keep_groups_whole():
    target = Target("multiclass", np.repeat([0, 1, 2], [50, 20, 5]), ("a", "b", "c"))
    folds = inner_folds(target, None, 5, 0)
    np.testing.assert_array_equal(np.bincount(folds), [15] * 5)
    for c, count in enumerate((10, 4, 1)):
        np.testing.assert_array_equal(np.bincount(folds[target.y == c], minlength=5), [count] * 5)
    groups = np.arange(75) // 3
    grouped = inner_folds(target, groups, 5, 0)
    assert all(len(set(grouped[groups == g])) == 1 for g in range(25))
    assert np.bincount(grouped, minlength=5).min() >= 12
    assert set(inner_folds(target, np.arange(75) % 2, 5, 0)) == {0, 1}


def test_a_class_without_items_is_last():
    x, target = made(40, 5, 3)
    wider = Target("multiclass", target.y, ("a", "b", "c", "d"))
    fitted = Logistic().fit(x, wider)
    assert (fitted.scores(x)[:, 3] <= ABSENT + 1e-3).all()
    assert (fitted.scores(x).argmax(axis=1) < 3).all()


def test_not_for_numbers():
    with pytest.raises(DataError, match="use ridge"):
        Logistic().fit(np.ones((3, 1)), Target("regression", np.arange(3.0), ("v",)))
