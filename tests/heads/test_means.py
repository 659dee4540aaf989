"""Shrunk class means against brute force refits and scikit-learn's discriminant analysis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from headstart.errors import DataError
from headstart.heads.means import ABSENT, ShrunkMeans
from headstart.heads.moments import mean_eigenvalue
from headstart.heads.scaling import Scaling
from headstart.tasks import Target


def made(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    x = rng.normal(size=(classes, d))[codes] + rng.normal(size=(n, d)) * rng.uniform(0.5, 3, d)
    return x, Target("multiclass", codes, tuple("abcdefgh"[:classes]))


def log_posterior(z, codes, w, classes, penalty, tau, x):
    """Directly from the definition."""
    scatter, means, mass = penalty * np.eye(z.shape[1]), np.zeros((classes, z.shape[1])), np.zeros(classes)
    for c in range(classes):
        rows = codes == c
        mass[c] = w[rows].sum()
        if mass[c] > 0:
            means[c] = w[rows] @ z[rows] / mass[c]
            scatter += ((z[rows] - means[c]) * w[rows, None]).T @ (z[rows] - means[c])
    gaps = x[:, None] - means
    distances = np.einsum("mcd,de,mce->mc", gaps, np.linalg.inv(scatter), gaps)
    prior = np.where(mass > 0, np.log(np.where(mass > 0, mass, 1) / mass.sum()), ABSENT)
    distances = np.where(mass > 0, distances - distances[:, mass > 0].min(axis=1, keepdims=True), 0.0)
    return log_softmax(prior - 0.5 * tau * distances, axis=1)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (24, 50), (8, 8), (9, 3)])
@pytest.mark.parametrize("relative", [1e-3, 0.3, 100.0])
@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_scores_equal_refits(n, d, relative, grouped):
    x, target = made(n, d, 4)
    codes = target.y.astype(int)
    rng = np.random.default_rng(1)
    w = rng.uniform(0.3, 2, n)
    groups = rng.integers(0, n // 2, n) if grouped else np.arange(n)
    fitted = ShrunkMeans((relative,)).fit(x, target, weights=w, groups=groups if grouped else None)
    z = Scaling.fit(x, w).apply(x, np.float64)
    penalty = relative * mean_eigenvalue(float((w[:, None] * z**2).sum()), n, d)
    tau = fitted.settings["tau"]
    for g in np.unique(groups):
        out = groups == g
        expected = log_posterior(z[~out], codes[~out], w[~out], 4, penalty, tau, z[out])
        np.testing.assert_allclose(fitted.loo_scores[out], expected, rtol=1e-6, atol=1e-5)
    whole = log_posterior(z, codes, w, 4, penalty, tau, z)
    np.testing.assert_allclose(log_softmax(fitted.scores(x), axis=1), whole, rtol=1e-5, atol=1e-4)


def test_without_shrinkage_it_is_scikit_learns_discriminant():
    x, target = made(200, 5, 3)
    fitted = ShrunkMeans((1e-12,)).fit(x, target)
    reference = LinearDiscriminantAnalysis(solver="lsqr").fit(x, target.y)
    scores = fitted.scores(x)
    scaled = (scores - np.log(1 / 3)) * (200 / fitted.settings["tau"])
    expected = reference.decision_function(x) - np.log(1 / 3)
    scaled -= scaled.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(scaled, expected - expected.mean(axis=1, keepdims=True), rtol=2e-2, atol=0.05)


def test_one_item_a_class_is_nearest_mean():
    x, target = made(4, 20, 4)
    fitted = ShrunkMeans().fit(x, target)
    assert (fitted.scores(x).argmax(axis=1) == target.y).all()
    assert np.isfinite(fitted.loo_scores).all()
    own = fitted.loo_scores[np.arange(4), target.y]
    np.testing.assert_allclose(own, ABSENT, atol=1.5)  # its class is not there without it


def test_uniform_priors_forget_how_many_there_are():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(90, 2)), rng.normal(size=(10, 2)) + 1])
    target = Target("binary", np.repeat([0, 1], [90, 10]), ("a", "b"))
    fitted = ShrunkMeans(penalties=(1.0,), priors="uniform").fit(x, target)
    middle = (x[:90].mean(axis=0) + x[90:].mean(axis=0))[None] / 2
    scores = fitted.scores(middle)[0]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_separable_items_do_not_make_it_certain():
    rng = np.random.default_rng(0)
    x = np.repeat([[-50.0], [50.0]], 10, axis=0) + rng.normal(size=(20, 1))
    target = Target("binary", np.repeat([0, 1], 10), ("a", "b"))
    loo = ShrunkMeans().fit(x, target).loo_scores
    assert np.exp(loo.max(axis=1)).mean() == pytest.approx(0.98, abs=0.02)


def test_only_for_classes():
    with pytest.raises(DataError, match="use ridge"):
        ShrunkMeans().fit(np.ones((3, 1)), Target("regression", np.arange(3.0), ("v",)))
