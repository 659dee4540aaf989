"""Rows of unit length against scikit-learn's normalisation, block by block."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from headstart.heads import cosines
from headstart.heads.cosines import all_unit_rows, in_blocks, unit_rows


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_each_block_of_each_row_is_normalised(scale):
    x = np.random.default_rng(0).normal(size=(9, 7))
    center = x.mean(axis=0)
    expected = np.hstack([normalize((x - center)[:, :4]), normalize((x - center)[:, 4:])])
    found = unit_rows(x * scale, center * scale, (4, 3), np.float64)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert [block.shape for block in in_blocks(found, (4, 3))] == [(9, 4), (9, 3)]


def test_a_row_at_the_mean_and_a_constant_column_stay_zero():
    x = np.array([[1.0, 0.1 + 1e-17], [1.0, 0.1], [3.0, 0.1]], np.float32)
    found = unit_rows(x, np.array([1.0, 0.1]), (2,), np.float32)
    np.testing.assert_array_equal(found, [[0, 0], [0, 0], [1, 0]])


def test_chunks_of_rows_change_nothing(monkeypatch):
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float16)
    whole = unit_rows(x, np.zeros(6), (6,), x.dtype)
    chunked = cosines.chunks
    monkeypatch.setattr(cosines, "chunks", lambda n, row_bytes: chunked(n, row_bytes, 300))
    np.testing.assert_array_equal(all_unit_rows(x, np.zeros(6), (6,), x.dtype), whole)


def test_half_precision_rows_are_rounded_once():
    """On the way they are in single precision, which adds next to nothing to half a unit in the last place."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 9)) * rng.uniform(1e-3, 1e3, 9) + 50 * rng.normal(size=9)).astype(np.float16)
    x[:, 4] = 7.3  # does not vary
    center = x.astype(np.float64).mean(axis=0)
    found = unit_rows(x, center, (5, 4), np.float16)
    exact = unit_rows(x.astype(np.float64), center, (5, 4), np.float64)
    assert found.dtype == np.float16
    assert (found[:, 4] == 0).all()
    np.testing.assert_allclose(found, exact, rtol=2**-11 + 1e-5, atol=1e-7)
