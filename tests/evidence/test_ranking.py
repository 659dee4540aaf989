from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from headstart.evidence.ranking import macro_auc, mean_average_precision


def test_influences_sum_to_nothing_and_give_the_variance_of_the_bootstrap():
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.3
    scores = rng.normal(size=300) + truth
    area, influence = macro_auc(truth[:, None], scores[:, None])
    assert influence.sum() == pytest.approx(0.0, abs=1e-12)
    resampled = bootstrap(
        (truth, scores),
        lambda t, s: macro_auc(t[:, None].astype(bool), s[:, None])[0],
        paired=True,
        vectorized=False,
        n_resamples=300,
        rng=rng,
    )
    assert math.sqrt((influence**2).sum()) == pytest.approx(resampled.standard_error, rel=0.15)
    assert area == pytest.approx(roc_auc_score(truth, scores))


def test_delongs_variance_by_brute_force():
    """Sun & Xu (2014), equations 4 to 6, with the divisors m and n."""
    rng = np.random.default_rng(1)
    above, below = rng.integers(0, 6, 12) + 2.0, rng.integers(0, 6, 15) + 0.0
    kernel = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    expected = kernel.mean(axis=1).var() / 12 + kernel.mean(axis=0).var() / 15
    truth = np.repeat([True, False], [12, 15])
    area, influence = macro_auc(truth[:, None], np.concatenate([above, below])[:, None])
    assert area == pytest.approx(kernel.mean())
    assert (influence**2).sum() == pytest.approx(expected)


def test_columns_without_both_kinds_are_left_out():
    truth = np.array([[1, 1, 0], [0, 1, 0]], bool)
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.5, 0.1]])
    assert macro_auc(truth, scores)[0] == 1.0
    assert math.isnan(macro_auc(truth[:, 1:], scores[:, 1:])[0])
    assert mean_average_precision(truth[:, :2], scores[:, :2]) == 1.0
    assert math.isnan(mean_average_precision(truth[:, 2:], scores[:, 2:]))
