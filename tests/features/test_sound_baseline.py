"""What a sound shows: each column against its formula, on sounds whose answer is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from headstart.features.sound_baseline import RATE, describe, mfcc, names

TIME = np.arange(RATE) / RATE


def named(samples: np.ndarray) -> dict[str, float]:
    return dict(zip(names(), describe([samples.astype(np.float32)])[0].tolist(), strict=True))


def test_mfcc_is_the_orthonormal_cosine_transform_by_its_sum():
    bands = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    got = mfcc(bands)
    assert got.shape == (20, 5)
    for k in (0, 1, 7, 19):
        scale = np.sqrt((1 if k == 0 else 2) / 64)
        expected = sum(bands[n] * np.cos(np.pi * k * (2 * n + 1) / 128) for n in range(64)) * scale
        np.testing.assert_allclose(got[k], expected, atol=1e-5)


def test_mel_bands_by_librosa_formula():
    """One frame, everything written out: taper, transform, triangles in Hz on Slaney's scale, decibels."""
    samples = np.random.default_rng(0).normal(0, 0.1, 400)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.fft(samples * taper, 512)[:257]) ** 2
    top = 15 + 27 * np.log(8) / np.log(6.4)
    mels = [top * i / 65 for i in range(66)]
    edges = [m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in mels]
    found = named(samples)
    for band in (0, 5, 30, 63):
        low, middle, high = edges[band : band + 3]
        hertz = np.arange(257) * RATE / 512
        heights = np.clip(np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None)
        expected = 10 * np.log10(max((heights * power).sum() * 2 / (high - low), 1e-10))
        assert found[f"logmel{band}.mean"] == pytest.approx(expected, abs=1e-2)
        assert found[f"logmel{band}.std"] == 0


def test_a_tone_has_its_centroid_and_crossings():
    found = named(0.3 * np.sin(2 * np.pi * 1000 * TIME))
    assert found["centroid.mean"] == pytest.approx(1.0, abs=0.01)
    assert found["zero crossings.mean"] == pytest.approx(2000 / RATE, rel=0.02)
    assert found["rolloff.mean"] == pytest.approx(1.0, abs=0.05)
    assert found["bandwidth.mean"] < 0.1
    assert found["length"] == pytest.approx(0, abs=0.05)  # log2 of a second
    assert found["middle"] == pytest.approx(0.5, abs=0.02)
    assert found["pauses"] == 0


def test_noise_is_flat_and_a_pause_is_a_pause():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    assert named(noise)["flatness.mean"] > named(np.sin(2 * np.pi * 1000 * TIME))["flatness.mean"] + 10
    late = np.where(TIME < 0.5, 1e-5 * noise, noise)
    assert named(late)["pauses"] == pytest.approx(0.5, abs=0.02)
    assert named(late)["middle"] == pytest.approx(0.75, abs=0.02)


def test_parts_follow_one_another_in_time():
    low, high = np.sin(2 * np.pi * 300 * TIME), np.sin(2 * np.pi * 5000 * TIME)
    found = named(np.where(TIME < 0.5, low, high))
    alone = [named(low), named(high)]
    for part in range(4):
        expected = alone[part // 2]["mfcc1.mean"]
        assert found[f"mfcc1.part{part}"] == pytest.approx(expected, abs=0.1 * abs(expected) + 1)


@pytest.mark.parametrize("t", [1, 2, 399, 400, 401, 560, 5_000])
def test_any_length_gives_finite_columns(t):
    for samples in (np.zeros(t), np.random.default_rng(0).normal(size=t), 1e9 * np.ones(t)):
        got = describe([samples.astype(np.float32)])
        assert got.shape == (1, len(names()))
        assert np.isfinite(got).all()
    assert len(set(names())) == len(names())


@pytest.mark.parametrize("t", [400, 559, 560, 30_000])
def test_crossings_are_counted_in_each_frame(t):
    samples = np.random.default_rng(0).normal(size=t).astype(np.float32)
    counts = [sum(a * b < 0 for a, b in pairwise(samples[at : at + 400])) for at in range(0, t - 399, 160)]
    found = named(samples)
    assert found["zero crossings.mean"] == pytest.approx(np.mean(counts) / 399, rel=1e-5)
    assert found["zero crossings.std"] == pytest.approx(np.std(counts) / 399, rel=1e-4, abs=1e-7)


def test_shapes_by_their_formulas():
    """One frame of noise, bin by bin."""
    samples = np.random.default_rng(0).normal(0, 0.1, 400)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.fft(samples * taper, 512)[:257]) ** 2 + 1e-10
    kilohertz = np.arange(257) * 16 / 512
    centroid = (kilohertz * power).sum() / power.sum()
    found = named(samples)
    assert found["centroid.mean"] == pytest.approx(centroid, rel=1e-4)
    assert found["bandwidth.mean"] == pytest.approx(
        np.sqrt(((kilohertz - centroid) ** 2 * power).sum() / power.sum()), rel=1e-4
    )
    reached = next(k for k in range(257) if power[: k + 1].sum() >= 0.85 * power.sum())
    assert found["rolloff.mean"] == pytest.approx(kilohertz[reached])
    assert found["flatness.mean"] == pytest.approx(
        10 * np.mean(np.log10(power)) - 10 * np.log10(power.mean()), rel=1e-3
    )


def test_rolloff_of_each_frame_by_summing_bin_after_bin():
    """Tones that end runs of bins, begin them, and lie in the last ones; and noise."""
    rng = np.random.default_rng(0)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for hertz in (0, 31.25 * 15, 31.25 * 16, 31.25 * 17, 31.25 * 255, 8000, None):
        noise = rng.normal(0, 0.1 if hertz is None else 1e-4, 400)
        samples = noise if hertz is None else noise + np.cos(2 * np.pi * hertz / RATE * np.arange(400))
        power = np.abs(np.fft.fft(samples * taper, 512)[:257]) ** 2 + 1e-10
        reached = next(k for k in range(257) if power[: k + 1].sum() >= 0.85 * power.sum())
        assert named(samples)["rolloff.mean"] == pytest.approx(reached * 16 / 512)


def test_what_is_said_of_a_sound_does_not_depend_on_those_beside_it():
    """To the bit, wherever its frames fall among the others': a fit that resumes finds the same rows."""
    rng = np.random.default_rng(0)
    lengths = [1, 400, 6_400, 559, 560, 21_000, 3_777, 80_000, 5_000, 400, 7_001]
    sounds = [rng.normal(0, 10 ** rng.uniform(-4, 0), t).astype(np.float32) for t in lengths]
    sounds[3][:] = 0
    alone = np.concatenate([describe([one]) for one in sounds])
    for order in (range(11), [7, 3, 2, 10, 0, 1], [5, 5, 9]):
        np.testing.assert_array_equal(describe([sounds[i] for i in order]), alone[list(order)])
