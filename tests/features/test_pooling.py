"""Windows pooled are what pooling all positions at once would give."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.features.pooling import pool
from headstart.sources.base import Tap

TAPS = (
    Tap("a.mean", 0, "mean", 3), Tap("a.std", 0, "std", 3), Tap("a.max", 0, "max", 3), Tap("a.first", 0, "first", 3),
    Tap("b.std", 1, "std", 3), Tap("b.mean", 1, "mean", 3),
)  # fmt: skip


def row(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The taps of (positions, 3) activations at two depths."""
    return np.concatenate([a.mean(0), a.std(0), a.max(0), a[0], b.std(0), b.mean(0)]).astype(np.float32)


@pytest.mark.parametrize("w", [1, 2, 5])
def test_windows_of_equal_length_are_as_one(w):
    a, b = np.random.default_rng(0).normal(3, 2, (2, w, 40, 3))
    got = pool(np.stack([row(a[i], b[i]) for i in range(w)]), TAPS)
    np.testing.assert_allclose(got, row(a.reshape(-1, 3), b.reshape(-1, 3)), rtol=1e-5)
    assert got.dtype == np.float32


def test_deviations_without_means_are_averaged_as_variances():
    rows = np.array([[3.0], [4.0]], np.float32)
    np.testing.assert_allclose(pool(rows, [Tap("s", 0, "std", 1)]), [np.sqrt(12.5)], rtol=1e-6)


def test_no_number_stays_none():
    rows = np.array([[1.0, 1.0], [np.nan, 1.0]], np.float32)
    assert np.isnan(pool(rows, [Tap("m", 0, "mean", 2)])).tolist() == [True, False]
