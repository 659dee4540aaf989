"""Moments: any sequence of merges, additions, withdrawals and new classes equals training from scratch."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from headstart.errors import DataError
from headstart.heads.moments import Moments
from headstart.heads.ridge import Ridge
from headstart.tasks import Target


def one_hot(codes, classes):
    return np.eye(classes)[codes]


def assert_equal_fits(a, b, x, atol=1e-6):
    for penalty in (1e-3, 1.0):
        np.testing.assert_allclose(a.solve(penalty).scores(x), b.solve(penalty).scores(x), atol=atol)
    np.testing.assert_allclose(a.about(b.reference).xx, b.xx, rtol=1e-6, atol=1e-6 * np.abs(b.xx).max())
    assert a.count == b.count
    assert a.weight == pytest.approx(b.weight)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_random_life_equals_training_on_what_is_left(seed, offset):
    rng = np.random.default_rng(seed)
    d, classes = 8, 2
    pool_x = offset + rng.normal(size=(400, d)) * rng.uniform(0.1, 10, d)
    pool_y, pool_w = rng.integers(0, classes, 400), rng.uniform(0.5, 2, 400)
    kept, free = list(range(40)), list(range(40, 400))
    moments = Moments.from_batch(pool_x[kept], one_hot(pool_y[kept], classes), pool_w[kept])
    for _ in range(30):
        action = rng.choice(["add", "merge", "forget", "class"])
        if action == "class" and classes < 5:
            moments = moments.add_class(classes)
            classes += 1
            pool_y[free] = rng.integers(0, classes, len(free))
            continue
        if action == "forget" and len(kept) > 30:
            rows, sign = [kept.pop(rng.integers(len(kept))) for _ in range(rng.integers(1, 6))], -1
        else:
            rows, sign = [free.pop() for _ in range(rng.integers(1, 12) if action == "merge" else 1)], 1
            kept += rows
        batch = Moments.from_batch(pool_x[rows], one_hot(pool_y[rows], classes), pool_w[rows])
        moments = moments + batch if sign > 0 else moments - batch
    scratch = Moments.from_batch(pool_x[kept], one_hot(pool_y[kept], classes), pool_w[kept])
    assert_equal_fits(moments, scratch, pool_x[:50])


def test_a_class_inserted_between_others():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    first = Moments.from_batch(x[y != 1], one_hot(np.where(y[y != 1] == 2, 1, 0), 2))
    both = first.add_class(1) + Moments.from_batch(x[y == 1], one_hot(y[y == 1], 3))
    assert_equal_fits(both, Moments.from_batch(x, one_hot(y, 3)), x)
    gone = (both - Moments.from_batch(x[y == 1], one_hot(y[y == 1], 3))).remove_class(1)
    assert_equal_fits(gone, first, x)


@pytest.mark.parametrize("weighted", [False, True])
def test_solve_is_scikit_learns_ridge(weighted):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 6)) + 3, rng.normal(size=(50, 2))
    w = rng.uniform(0.5, 2, 50) if weighted else np.ones(50)
    mean = w @ x / w.sum()
    z = (x - mean) / np.sqrt(w @ (x - mean) ** 2 / w.sum())
    alpha = 0.3 * float((w[:, None] * z**2).sum()) / 6
    expected = SklearnRidge(alpha=alpha).fit(z, y, sample_weight=w).predict(z)
    np.testing.assert_allclose(Moments.from_batch(x, y, w).solve(0.3).scores(x), expected, atol=1e-6)


def test_solve_is_the_ridge_head():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(80, 9)), rng.integers(0, 3, 80)
    target = Target("multiclass", y, ("a", "b", "c"))
    head = Ridge((0.05,)).fit(x, target)
    np.testing.assert_allclose(Moments.from_batch(x, target.encoded()).solve(0.05).scores(x), head.scores(x), atol=1e-6)


def test_merging_shards_in_any_order_and_precision():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(90, 7)).astype(np.float16)
    y = rng.normal(size=(90, 1))
    shards = [Moments.from_batch(x[i::3], y[i::3]) for i in range(3)]
    whole = Moments.from_batch(x.astype(np.float64), y)
    assert_equal_fits(shards[0] + shards[1] + shards[2], whole, x)
    assert_equal_fits(shards[2] + (shards[0] + shards[1]), whole, x)


def test_what_does_not_fit_together_is_refused():
    a, b = Moments.from_batch(np.ones((3, 2)), np.ones((3, 1))), Moments.from_batch(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(DataError, match="add the missing classes"):
        a + b
    with pytest.raises(DataError, match="nothing to fit"):
        (a - a).solve(1.0)
    with pytest.raises(DataError, match="as many rows"):
        Moments.from_batch(np.ones((3, 2)), np.ones((4, 1)))
    with pytest.raises(DataError, match="NaN"):
        Moments.from_batch(np.array([[np.nan], [1.0]]), np.ones((2, 1))).solve(1.0)
