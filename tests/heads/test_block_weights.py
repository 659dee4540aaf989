"""Weights of blocks against scipy's Gaussian, finite differences, and planted blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from headstart.errors import DataError
from headstart.heads.block_weights import MOST_ITEMS, block_weights, fit_scales, negative_log_posterior
from headstart.tasks import Target


def made_kernels(n=30, blocks=3, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(blocks, n, 8))
    return (parts @ parts.transpose(0, 2, 1) / 8).astype(np.float32), rng.normal(size=(n, 4))


def planted(n=240, seed=0, classes=4):
    """Five blocks of 12 columns; the second holds the classes, the last is constant."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    x = rng.normal(size=(n, 60))
    x[:, 12:24] += 1.5 * rng.normal(size=(classes, 12))[codes]
    x[:, 48:] = 3.0
    return x.astype(np.float32), Target("multiclass", codes, tuple("abcdefgh"[:classes]))


def test_differences_of_the_posterior_are_the_gaussian_densities():
    kernels, y = made_kernels()
    n = len(y)

    def reference(logs):
        m = np.tensordot(np.exp(logs), kernels.astype(float), 1) + np.eye(n)
        variance = np.mean([column @ np.linalg.solve(m, column) / n for column in y.T])
        density = sum(multivariate_normal(np.zeros(n), variance * m).logpdf(column) for column in y.T)
        return -density + 0.5 * ((logs - logs.mean()) ** 2).sum()

    a, b = np.array([0.3, -1.0, 0.5]), np.array([-2.0, 0.1, 1.0])
    flat = kernels.reshape(3, -1)
    ours = (negative_log_posterior(a, flat, y)[0] - negative_log_posterior(b, flat, y)[0]) * y.size
    assert ours == pytest.approx(reference(a) - reference(b), rel=1e-4)


def test_the_gradient_is_that_of_finite_differences():
    kernels, y = made_kernels(seed=1)
    flat = kernels.reshape(3, -1)
    at = np.array([0.2, -0.7, 0.4])
    expected = approx_fprime(at, lambda logs: negative_log_posterior(logs, flat, y)[0], 1e-3)
    np.testing.assert_allclose(negative_log_posterior(at, flat, y)[1], expected, atol=2e-3 * np.abs(expected).max())


def test_the_search_ends_where_the_posterior_is_flat():
    kernels, y = made_kernels(n=60, seed=2)
    logs = np.log(fit_scales(kernels, y - y.mean(axis=0)))
    inside = (logs > -8.9) & (logs < 4.9)
    gradient = negative_log_posterior(logs, kernels.reshape(3, -1), y - y.mean(axis=0))[1]
    assert np.abs(gradient[inside]).max(initial=0.0) < 1e-3


@pytest.mark.parametrize("n", [40, 240, MOST_ITEMS + 100])
def test_the_block_that_holds_the_classes_weighs_most(n):
    x, target = planted(n)
    shares, factors = block_weights(x, [12] * 5, target, np.ones(n))
    assert shares.sum() == pytest.approx(1.0)
    assert shares[1] > 0.5
    assert shares[4] == factors[4] == 0
    # Factors make the shares: a scaled column that varies has a variance of one.
    np.testing.assert_allclose(factors[:4] ** 2 * 12, shares[:4], rtol=1e-5)


def test_alike_blocks_weigh_alike_and_nothing_depends_on_units():
    x, target = planted()
    twice = np.concatenate([x[:, 12:24], 1000 * x[:, 12:24]], axis=1)
    np.testing.assert_allclose(block_weights(twice, [12, 12], target, np.ones(len(x))).shares, [0.5, 0.5], atol=0.01)
    shares = block_weights(x, [12] * 5, target, np.ones(len(x))).shares
    np.testing.assert_allclose(
        block_weights(x * 50 + 7, [12] * 5, target, np.full(len(x), 3.0)).shares, shares, atol=0.01
    )


def test_an_item_of_weight_two_is_two_items():
    x, target = planted(60)
    double = np.concatenate([np.arange(60), np.arange(10)])
    weights = np.where(np.arange(60) < 10, 2.0, 1.0)
    blocks = [12] * 5
    once = block_weights(x, blocks, target, weights).shares
    repeated = block_weights(x[double], blocks, target.take(double), np.ones(70)).shares
    np.testing.assert_allclose(once, repeated, atol=0.15)  # not the same: a repeated item has noise of its own


def test_nothing_varies():
    target = Target("binary", np.arange(6) % 2, ("a", "b"))
    shares, factors = block_weights(np.ones((6, 4)), [2, 2], target, np.ones(6))
    np.testing.assert_array_equal(shares, [0.5, 0.5])
    np.testing.assert_array_equal(factors, [1, 1])


def test_widths_must_add_up():
    target = Target("binary", np.arange(6) % 2, ("a", "b"))
    with pytest.raises(DataError, match=r"blocks of 3 columns together for features of 4"):
        block_weights(np.ones((6, 4)), [2, 1], target, np.ones(6))
