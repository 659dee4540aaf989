"""Statistics of items side by side: each against NumPy's of that item alone."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.features.spans import Spans

COUNTS = [5, 1, 2, 3, 40, 4, 1]


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(-50, 10, (3, sum(COUNTS))).astype(np.float32)


def alone(values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum(COUNTS)[:-1], axis=1)


def test_means_sums_and_deviations(values):
    spans, items = Spans(COUNTS), alone(values)
    mean = spans.mean(values)
    np.testing.assert_allclose(mean, np.stack([one.mean(axis=1) for one in items], axis=1), rtol=1e-5)
    np.testing.assert_allclose(spans.sum(values), np.stack([one.sum(axis=1) for one in items], axis=1), rtol=1e-5)
    expected = np.stack([one.std(axis=1) for one in items], axis=1)
    np.testing.assert_allclose(spans.deviation(values, mean), expected, rtol=1e-4, atol=1e-5)


def test_numbers_are_spread_and_places_counted():
    spans = Spans([2, 1, 3])
    assert spans.spread(np.array([[7, 8, 9]])).tolist() == [[7, 7, 8, 9, 9, 9]]
    assert spans.places().tolist() == [0, 1, 0, 0, 1, 2]
    assert (spans.total, spans.starts.tolist()) == (6, [0, 2, 3])
    assert Spans([3]).places().tolist() == [0, 1, 2]


def test_percentiles_are_numpys_nearest(values):
    got = Spans(COUNTS).percentiles(values, (0.1, 0.5, 0.9))
    for i, one in enumerate(alone(values)):
        expected = np.percentile(one, (10, 50, 90), axis=1, method="nearest")
        np.testing.assert_array_equal(got[:, :, i], expected)


def test_parts_follow_one_another_and_a_short_item_repeats_some(values):
    got = Spans(COUNTS).parts(values, 4)
    for i, (one, n) in enumerate(zip(alone(values), COUNTS, strict=True)):
        for part in range(4):
            start = n * part // 4
            piece = one[:, start : max(start + 1, n * (part + 1) // 4)]
            np.testing.assert_allclose(got[part, :, i], piece.mean(axis=1), rtol=1e-5)


def test_slopes_are_those_of_least_squares_with_the_ends_repeated(values):
    got = np.split(Spans(COUNTS).slopes(values), np.cumsum(COUNTS)[:-1], axis=1)
    for slopes, one in zip(got, alone(values), strict=True):
        padded = np.pad(one.astype(np.float64), ((0, 0), (2, 2)), mode="edge")
        for t in range(one.shape[1]):
            expected = np.polyfit(np.arange(-2, 3), padded[:, t : t + 5].T, 1)[0]
            np.testing.assert_allclose(slopes[:, t], expected, atol=1e-4)


def test_many_columns_keep_their_digits():
    """In float32, one after another, a million numbers of -60.3 have a mean of -61 or so."""
    values = np.full((1, 1_000_000), -60.3, np.float32)
    spans = Spans([1_000_000])
    mean = spans.mean(values)
    np.testing.assert_allclose(mean, -60.3, rtol=1e-6)
    np.testing.assert_allclose(spans.deviation(values, mean), 0, atol=1e-5)
