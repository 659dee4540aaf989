"""Samples at another rate: a piece at a time as all at once, against soxr's own stream."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.features.resampling import Resampled

soxr = pytest.importorskip("soxr")


@pytest.mark.parametrize("given", [1_000, 8_000, 16_000, 44_100, 768_000])
@pytest.mark.parametrize("t", [1, 2, 17, 1_000, 30_000])
def test_one_piece_and_many_give_what_a_stream_gives(given, t):
    samples = np.random.default_rng(0).normal(size=t).astype(np.float32)
    expected = samples
    if given != 16_000:
        stream = soxr.ResampleStream(given, 16_000, 1, dtype="float32", quality="HQ")
        chunks = [stream.resample_chunk(samples), stream.resample_chunk(samples[:0], last=True)]
        expected = np.concatenate(chunks)
    for size in {t, max(1, t // 3)}:
        resampled = Resampled(given, 16_000, t)
        for start in range(0, t, size):
            resampled.add(samples[start : start + size])
        np.testing.assert_array_equal(resampled.finish(), expected if len(expected) else np.zeros(1))


def test_nothing_is_one_sample_of_silence():
    assert Resampled(8_000, 16_000, 0).finish().tolist() == [0]
