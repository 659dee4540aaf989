"""The weighted head: equal to logistic regression and ridge on columns scaled by hand, better where layers differ."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.heads.block_weights import block_weights
from headstart.heads.logistic import Logistic
from headstart.heads.ridge import Ridge
from headstart.heads.weighted import Weighted
from headstart.tasks import Target

BLOCKS = (10, 40, 60)


def made(n, seed=0, classes=5):
    """Classes in the first block of columns, noise in the others, of all sizes."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    means = np.random.default_rng(99).normal(size=(classes, 10))
    x = rng.normal(size=(n, sum(BLOCKS))) * rng.uniform(0.1, 10, size=sum(BLOCKS))
    x[:, :10] = rng.normal(size=(n, 10)) + means[codes]
    return x, Target("multiclass", codes, tuple("abcde"[:classes]))


@pytest.mark.parametrize("n", [60, 200])  # fewer and more items than columns
def test_equals_logistic_regression_with_one_penalty_a_column(n):
    """scikit-learn on the columns scaled by hand, at the penalty that was chosen, finds the same coefficients."""
    from sklearn.linear_model import LogisticRegression

    x, target = made(n)
    fitted = Weighted(BLOCKS).fit(x, target)
    _, factors = block_weights(x, BLOCKS, target, np.ones(n))
    factors = np.repeat(factors, BLOCKS) / factors.max()
    z = (x - x.mean(axis=0)) / x.std(axis=0) * factors
    mean = (z**2).sum() / min(n - 1, np.count_nonzero(factors))
    even = 0.2 * 0.8
    peer = LogisticRegression(C=1 / (fitted.settings["penalty"] * mean * even), max_iter=5000, tol=1e-8)
    expected = peer.fit(z, target.y).decision_function(z)
    got = fitted.scores(x)
    np.testing.assert_allclose(got - got.mean(axis=1, keepdims=True), expected, atol=0.05 * np.abs(expected).max())


def test_a_number_is_fitted_by_ridge_with_one_penalty_a_block():
    x, target = made(80)
    y = Target("regression", x[:, 0] + 0.1 * target.y, ("value",))
    fitted = Weighted(BLOCKS).fit(x, y)
    _, factors = block_weights(x, BLOCKS, y, np.ones(80))
    factors = np.repeat(factors, BLOCKS) / factors.max()
    z = (x - x.mean(axis=0)) / x.std(axis=0) * factors
    penalty = fitted.settings["penalty"] * (z**2).sum() / min(79, np.count_nonzero(factors))
    coefficients = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y.y - y.y.mean()))
    np.testing.assert_allclose(fitted.scores(x)[:, 0], z @ coefficients + y.y.mean(), atol=1e-4)


def test_blocks_that_say_nothing_cost_less_than_with_equal_weights():
    x, target = made(60)
    test, truth = made(1000, seed=1)

    def accuracy(head):
        return (head.fit(x, target).scores(test).argmax(axis=1) == truth.y).mean()

    assert accuracy(Weighted(BLOCKS)) > accuracy(Logistic()) + 0.05
    assert accuracy(Weighted(BLOCKS)) > accuracy(Ridge()) + 0.05


def test_one_block_is_plain_logistic_regression():
    x, target = made(70)
    plain, weighted = Logistic().fit(x, target), Weighted().fit(x, target)
    np.testing.assert_allclose(weighted.scores(x), plain.scores(x), atol=1e-4 * np.abs(plain.scores(x)).max())
    assert weighted.settings["penalty"] == plain.settings["penalty"]
    assert weighted.settings["blocks"] == [1.0]


def test_the_fitted_map_covers_blocks_left_out():
    x, target = made(200)
    x[:, 10:50] = 1.0
    fitted = Weighted(BLOCKS).fit(x, target)
    assert fitted.map.weight.shape == (110, 5)
    assert not fitted.map.weight[10:50].any()
    assert fitted.settings["blocks"][1] == 0


def test_wrong_blocks_are_refused():
    x, target = made(20)
    with pytest.raises(DataError, match=r"blocks of 9 columns together for features of 110"):
        Weighted((4, 5)).fit(x, target)
