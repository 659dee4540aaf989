"""Ridge against brute force: a refit without each item or group, by least squares on augmented rows."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.heads import loo
from headstart.heads.eigenbasis import factorise, floor_weights
from headstart.heads.loo import RidgePath, leave_out
from headstart.heads.moments import mean_eigenvalue
from headstart.heads.ridge import ABSENT, PENALTIES, Ridge
from headstart.heads.scaling import Scaling
from headstart.tasks import Target


def refit(z, y, w, penalty, x):
    """Weighted ridge with a free intercept by np.linalg.lstsq, predicting x."""
    d = z.shape[1]
    root = np.sqrt(w)[:, None]
    items = np.hstack([z, np.ones((len(z), 1))]) * root
    a = np.vstack([items, np.hstack([np.sqrt(penalty) * np.eye(d), np.zeros((d, 1))])])
    b = np.vstack([y * root, np.zeros((d, y.shape[1]))])
    coef = np.linalg.lstsq(a, b, rcond=None)[0]
    return x @ coef[:-1] + coef[-1]


def without_absent(scores, y, target):
    """What a fit says of classes that it had no item of."""
    return np.where(target.exclusive & ~y.any(axis=0), ABSENT, scores)


def brute_force(x, target, w, groups, relative):
    """Left-out scores (n, C) at one relative penalty, one refit a group."""
    scaling = Scaling.fit(x, w)
    z = scaling.apply(x.astype(float), np.float64)
    penalty = relative * mean_eigenvalue(float((w[:, None] * z**2).sum()), *x.shape)
    y = target.encoded()
    out = np.empty_like(y)
    for g in np.unique(groups):
        rows = groups == g
        out[rows] = without_absent(refit(z[~rows], y[~rows], w[~rows], penalty, z[rows]), y[~rows], target)
    return out, without_absent(refit(z, y, w, penalty, z), y, target)


def made(rng, n, d, task):
    x = rng.normal(size=(n, d)) * rng.uniform(0.1, 30, d) + rng.normal(size=d) * 5
    if task == "regression":
        return x, Target(task, x[:, 0] + rng.normal(size=n), ("value",))
    if task == "multilabel":
        return x, Target(task, (rng.random((n, 4)) < 0.4).astype(np.uint8), tuple("abcd"))
    c = 2 if task == "binary" else 4
    return x, Target(task, rng.integers(0, c, n), tuple("abcd"[:c]))


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize(("n", "d"), [(40, 7), (20, 60), (21, 20), (20, 20), (2, 5), (3, 1)])
@pytest.mark.parametrize("relative", [1e-5, 0.1, 100.0])
@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_scores_equal_refits(task, n, d, relative, grouped):
    rng = np.random.default_rng(n + d)
    x, target = made(rng, n, d, task)
    w = rng.uniform(0.2, 3, n)
    groups = np.arange(n) % max(2, n // 3) if grouped else np.arange(n)
    expected, fit = brute_force(x, target, w, groups, relative)
    fitted = Ridge((relative,)).fit(x, target, weights=w, groups=groups if grouped else None)
    tolerance = 1e-5 * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(fitted.loo_scores, expected, atol=tolerance)
    np.testing.assert_allclose(fitted.scores(x), fit, atol=tolerance)


@pytest.mark.parametrize(("n", "d"), [(60, 5), (30, 50)])
def test_few_large_groups(n, d):
    """Groups with more items than directions take another formula."""
    rng = np.random.default_rng(0)
    x, target = made(rng, n, d, "multiclass")
    groups = np.arange(n) // (n // 3)
    for relative in (1e-4, 1.0):
        expected, _ = brute_force(x, target, np.ones(n), groups, relative)
        loo = Ridge((relative,)).fit(x, target, groups=groups).loo_scores
        np.testing.assert_allclose(loo, expected, atol=1e-6)


@pytest.mark.parametrize("d", [12, 90])
@pytest.mark.parametrize("noise", [0.01, 3.0])
def test_much_work_for_large_groups_is_done_at_the_penalties_around_the_best(monkeypatch, d, noise):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, d)) * rng.uniform(0.1, 3, d)
    y = x[:, :3] @ rng.normal(size=(3, 2)) + noise * rng.normal(size=(60, 2))
    groups = np.arange(60) // 20
    path = RidgePath.on(factorise(x, np.ones(60)), y)
    penalties = np.asarray(PENALTIES) * path.basis.mean
    everywhere = leave_out(path, penalties, groups)
    monkeypatch.setattr(loo, "MANY_PRODUCTS", 0)
    some = leave_out(path, penalties, groups)
    looked = np.isfinite(some.errors)
    assert some.best == everywhere.best
    assert 14 <= looked.sum() <= 17
    np.testing.assert_allclose(some.errors[looked], everywhere.errors[looked], rtol=1e-10)


def test_large_groups_of_few_directions_are_little_work(monkeypatch):
    """Without a group of 100 items in 4 directions the fit is a system of 4 equations: its penalties are no work."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(200, 4)), rng.normal(size=(200, 1))
    path = RidgePath.on(factorise(x, np.ones(200)), y)
    monkeypatch.setattr(loo, "MANY_PRODUCTS", 1e6)
    left = leave_out(path, np.asarray(PENALTIES) * path.basis.mean, np.arange(200) // 100)
    assert np.isfinite(left.errors).all()


@pytest.mark.parametrize("d", [5, 80])
def test_items_of_weight_zero_are_scored_and_change_nothing(d):
    rng = np.random.default_rng(1)
    x, target = made(rng, 40, d, "multiclass")
    w = np.where(np.arange(40) < 30, 1.0, 0.0)
    expected, _ = brute_force(x, target, np.maximum(w, 1e-10), np.arange(40) // 2, 0.1)
    loo = Ridge((0.1,)).fit(x, target, weights=w, groups=np.arange(40) // 2).loo_scores
    np.testing.assert_allclose(loo, expected, atol=1e-5)
    alone = Ridge((0.1,)).fit(x[:30], target.take(np.arange(30)), groups=np.arange(30) // 2)
    if d < 30:  # the same relative penalty: the mean eigenvalue is over d columns in both
        np.testing.assert_allclose(loo[:30], alone.loo_scores, atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(300, 40), (60, 200)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-4), (np.float16, 2e-4)])
def test_single_and_half_precision(n, d, dtype, tolerance):
    rng = np.random.default_rng(2)
    x, target = made(rng, n, d, "multiclass")
    x = x.astype(dtype)
    for relative in (1e-4, 0.1):
        expected, fit = brute_force(x, target, np.ones(n), np.arange(n), relative)
        fitted = Ridge((relative,)).fit(x, target)
        np.testing.assert_allclose(fitted.loo_scores, expected, atol=tolerance)
        np.testing.assert_allclose(fitted.scores(x), fit, atol=tolerance)


@pytest.mark.parametrize(("n", "d"), [(80, 10), (30, 60)])
def test_the_grid_is_scored_as_one_by_one_and_the_best_wins(n, d):
    rng = np.random.default_rng(3)
    x, target = made(rng, n, d, "regression")
    errors = [
        np.square(brute_force(x, target, np.ones(n), np.arange(n), p)[0] - target.encoded()).sum() for p in PENALTIES
    ]
    assert Ridge().fit(x, target).settings["penalty"] == PENALTIES[int(np.argmin(errors))]
    single = Ridge().fit(x.astype(np.float32), target).settings["penalty"]
    assert errors[PENALTIES.index(single)] <= (1 + 1e-4) * min(errors)  # equal but for rounding


@pytest.mark.parametrize(("dtype", "n", "d", "tolerance"), [
    (np.float64, 80, 10, 1e-9), (np.float64, 30, 60, 1e-9), (np.float32, 30, 60, 3e-6), (np.float32, 80, 10, 1e-3),
])  # fmt: skip
def test_the_error_of_every_penalty_equals_refits(dtype, n, d, tolerance):
    rng = np.random.default_rng(8)
    x, target = made(rng, n, d, "multiclass")
    x, w = x.astype(dtype), rng.uniform(0.2, 3, n)
    path = RidgePath.on(factorise(x, floor_weights(w)), target.encoded())
    errors = leave_out(path, np.asarray(PENALTIES) * path.basis.mean).errors
    for penalty, error in zip(PENALTIES[::5], errors[::5], strict=True):
        y = target.encoded()
        left = np.stack([_without(x, y, w, penalty, i) for i in range(n)])
        np.testing.assert_allclose(error, w @ np.square(left - y).sum(axis=1), rtol=tolerance)


def _without(x, y, w, relative, i):
    scaling = Scaling.fit(x, w)
    z = scaling.apply(x.astype(float), np.float64)
    penalty = relative * mean_eigenvalue(float((w[:, None] * z**2).sum()), *x.shape)
    kept = np.arange(len(x)) != i
    return refit(z[kept], y[kept], w[kept], penalty, z[i])


def test_in_the_dual_left_out_scores_of_single_precision_features_are_exact():
    rng = np.random.default_rng(9)
    x, target = made(rng, 60, 200, "multiclass")
    x = x.astype(np.float32)
    expected, _ = brute_force(x, target, np.ones(60), np.arange(60), 1e-3)
    np.testing.assert_allclose(Ridge((1e-3,)).fit(x, target).loo_scores, expected, atol=1e-10)


def test_a_memory_map_is_read_in_chunks(tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    x, target = made(rng, 200, 12, "multiclass")
    stored = np.memmap(tmp_path / "x", np.float16, "w+", shape=x.shape)
    stored[:] = x
    whole = Ridge().fit(np.asarray(stored), target)
    monkeypatch.setattr("headstart.heads.rows.chunks.__defaults__", (500,))
    chunked = Ridge().fit(stored, target)
    assert chunked.settings == whole.settings
    np.testing.assert_allclose(chunked.loo_scores, whole.loo_scores, atol=1e-5)


@pytest.mark.parametrize("d", [6, 90])
def test_duplicated_and_constant_columns_and_rows(d):
    rng = np.random.default_rng(5)
    x, target = made(rng, 40, d, "multiclass")
    x = np.hstack([x, x, np.full((40, 1), 7.3)])
    x[20:30] = x[:10]
    for relative in (1e-5, 1e-2):
        expected, _ = brute_force(x, target, np.ones(40), np.arange(40), relative)
        np.testing.assert_allclose(Ridge((relative,)).fit(x, target).loo_scores, expected, atol=1e-4)


def test_scale_of_features_does_not_matter():
    rng = np.random.default_rng(6)
    x, target = made(rng, 30, 50, "multiclass")
    small = Ridge().fit(x * 1e-20, target)
    large = Ridge().fit(x * 1e20 + 0.0, target)
    np.testing.assert_allclose(small.loo_scores, large.loo_scores, atol=1e-6)
    np.testing.assert_allclose(small.scores(x * 1e-20), large.scores(x * 1e20), atol=1e-5)


def test_features_that_say_nothing_predict_the_other_items_mean():
    target = Target("binary", np.array([0, 1, 1, 0, 1]), ("a", "b"))
    loo = Ridge().fit(np.full((5, 3), 2.5, dtype=np.float32), target).loo_scores
    np.testing.assert_allclose(loo[:, 1], [0.75, 0.5, 0.5, 0.75, 0.5], atol=1e-6)
