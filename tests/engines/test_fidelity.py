"""Cosines and leave-one-out accuracy against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OneHotEncoder

from headstart.engines.fidelity import PENALTY, fidelity, leave_one_out_accuracy, standardised


def test_leave_one_out_is_what_n_fits_give() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 10)
    rows = rng.standard_normal((30, 50)) + 0.4 * rng.standard_normal((3, 50))[labels]
    centred = rows - rows.mean(axis=0)
    penalty = PENALTY * np.sum(centred**2) / len(rows)
    y = OneHotEncoder(sparse_output=False).fit_transform(labels[:, None])
    hits = 0
    for i in range(30):
        rest = np.arange(30) != i
        hits += int(Ridge(alpha=penalty).fit(rows[rest], y[rest]).predict(rows[[i]]).argmax() == labels[i])
    assert leave_one_out_accuracy(rows, labels) == pytest.approx(hits / 30)
    assert 0 < hits < 30  # neither trivial nor hopeless, so that the comparison says something


def test_identical_features_are_true() -> None:
    taps = [np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)]
    found = fidelity(taps, taps, np.arange(12) % 3)
    assert found.cosine_min == pytest.approx(1)


def test_a_column_that_never_varies_does_not_count() -> None:
    rng = np.random.default_rng(0)
    true = rng.standard_normal((20, 6)).astype(np.float32)
    true[:, 0] = 7.0
    noisy = true.copy()
    noisy[:, 0] += rng.standard_normal(20).astype(np.float32) * 1e-4
    assert fidelity([noisy], [true], np.arange(20) % 2).cosine_min > 0.9999
    constant = np.ones((20, 3), np.float32)
    assert np.isfinite(standardised([constant], [constant])).all()


def test_cosine_is_of_the_standardised_rows() -> None:
    rng = np.random.default_rng(1)
    true = [rng.standard_normal((15, 4)).astype(np.float32), 100 * rng.standard_normal((15, 3)).astype(np.float32)]
    other = [true[0] + 0.3 * rng.standard_normal((15, 4)).astype(np.float32), true[1]]
    cosines = []
    for i in range(15):
        rows = []
        for taps in (other, true):
            parts = [(tap[i] - t.mean(0)) / np.sqrt(np.mean((t - t.mean(0)) ** 2))
                     for tap, t in zip(taps, true, strict=True)]  # fmt: skip
            rows.append(np.concatenate(parts))
        cosines.append(rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1]))
    found = fidelity(other, true, np.arange(15) % 3)
    assert found.cosine_mean == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found.cosine_min == pytest.approx(np.min(cosines), abs=1e-6)
