"""Shrunk class means against brute force refits and scikit-learn's discriminant analysis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from headstart.errors import ArtefactError, DataError
from headstart.heads.base import HeadState
from headstart.heads.cosines import unit_rows
from headstart.heads.linear import FittedLinear
from headstart.heads.means import ABSENT, ShrunkMeans
from headstart.heads.moments import mean_eigenvalue
from headstart.tasks import Target


def made(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    x = rng.normal(size=(classes, d))[codes] + rng.normal(size=(n, d)) * rng.uniform(0.5, 3, d)
    return x, Target("multiclass", codes, tuple("abcdefgh"[:classes]))


def unit(x, w, blocks):
    """Rows centred at their weighted mean, each block divided by its length; then centred again."""
    z = x - np.average(x, axis=0, weights=w)
    parts = np.split(z, np.cumsum(blocks)[:-1], axis=1) if blocks else [z]
    z = np.hstack([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts])
    return z - np.average(z, axis=0, weights=w)


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
@pytest.mark.parametrize("parts", [1, 2])
def test_left_out_scores_equal_refits(n, d, relative, grouped, parts):
    blocks = (d - 1, 1) if parts == 2 else ()
    x, target = made(n, d, 4)
    codes = target.y.astype(int)
    rng = np.random.default_rng(1)
    w = rng.uniform(0.3, 2, n)
    groups = rng.integers(0, n // 2, n) if grouped else np.arange(n)
    fitted = ShrunkMeans(blocks, (relative,)).fit(x, target, weights=w, groups=groups if grouped else None)
    z = unit(x, w, blocks)
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
    fitted = ShrunkMeans(penalties=(1e-12,)).fit(x, target)
    z = unit(x, np.ones(200), ())
    reference = LinearDiscriminantAnalysis(solver="lsqr").fit(z, target.y)
    scores = fitted.scores(x)
    scaled = (scores - np.log(1 / 3)) * (200 / fitted.settings["tau"])
    expected = reference.decision_function(z) - np.log(1 / 3)
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
    z = unit_rows(x, fitted.center, (2,), np.float64)
    middle = (z[:90].mean(axis=0) + z[90:].mean(axis=0))[None] / 2
    scores = fitted.map.scores(middle)[0]
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


def test_blocks_count_alike_whatever_their_scale():
    x, target = made(60, 12, 3)
    fitted = ShrunkMeans((8, 4)).fit(x, target)
    larger = np.hstack([x[:, :8] * 1000, x[:, 8:]])
    np.testing.assert_allclose(ShrunkMeans((8, 4)).fit(larger, target).scores(larger), fitted.scores(x), atol=1e-5)
    assert not np.allclose(ShrunkMeans().fit(larger, target).loo_scores, ShrunkMeans().fit(x, target).loo_scores)


def test_blocks_that_do_not_add_up_are_refused():
    x, target = made(60, 12, 3)
    with pytest.raises(DataError, match="blocks of 11 columns in all, expected the features' 12"):
        ShrunkMeans((8, 3)).fit(x, target)


def test_the_best_tau_is_that_of_a_search():
    """Newton's steps against SciPy's bounded minimiser of the same left-out loss."""
    x, target = made(80, 10, 4)
    x *= 0.7
    fitted = ShrunkMeans(penalties=(0.1,)).fit(x, target)
    tau, y = fitted.settings["tau"], target.encoded()
    y = (1 - 1 / 81) * y + 1 / 81 / 4
    # Left-out scores are log priors (one item more or less of its own class) - tau / 2 distances.
    counts = np.full((80, 4), 20) - target.encoded()
    priors = np.log(counts / counts.sum(axis=1, keepdims=True))
    distances = (fitted.loo_scores - priors) / tau

    def loss(log_tau):
        return -(y * log_softmax(priors + np.exp(log_tau) * distances, axis=1)).sum()

    found = minimize_scalar(loss, bounds=(np.log(tau) - 5, np.log(tau) + 5), method="bounded")
    assert np.log(tau) == pytest.approx(found.x, abs=0.03)


def test_a_file_of_before_unit_rows_is_a_map_of_the_features_as_they_come():
    x, target = made(40, 6, 4)
    weight, bias = np.ones((6, 4), np.float32), np.arange(4.0)
    restored = ShrunkMeans().restore(HeadState("means", {"weight": weight, "bias": bias}, {"tau": 1.0}))
    assert isinstance(restored, FittedLinear)
    np.testing.assert_allclose(restored.scores(x), x @ weight + bias)
    state = ShrunkMeans((4, 2)).fit(x, target).state()
    for damaged in ({"blocks": [4, 3]}, {"blocks": [4.0, 2]}, {"blocks": None}, {"blocks": [7, -1]}):
        with pytest.raises(ArtefactError):
            ShrunkMeans().restore(HeadState("means", state.arrays, {**state.settings, **damaged}))
    rest = {name: array for name, array in state.arrays.items() if name != "center"}
    with pytest.raises(ArtefactError):
        ShrunkMeans().restore(HeadState("means", rest, state.settings))
