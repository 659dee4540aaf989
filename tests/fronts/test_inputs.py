"""Each front against the published one, or against its formula written out as sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.fronts import prepare
from headstart.fronts.spectrum import _CHUNK, chunks, frames
from headstart.optional import has
from headstart.sources.base import SoundInput

RATE = 16_000
WHISPER = SoundInput(RATE, 30.0, shortest=400, front="whisper", bands=80)
GE2E = SoundInput(RATE, 10.0, shortest=400, front="ge2e", bands=40)
AST = SoundInput(RATE, 10.24, shortest=400, front="ast", bands=128, frames=1024, mean=-4.2677393, std=2 * 4.5689974)

needs_transformers = pytest.mark.skipif(not has("transformers") or not has("torch"), reason="needs headstart[torch]")


def sound(t: int, seed: int = 0) -> np.ndarray:
    """A glide and noise, float32, of t samples."""
    time = np.arange(t) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.02, t)
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time) + noise).astype(np.float32)


@needs_transformers
@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("t", [401, 8_000, 16_123, 3 * RATE + 77])
def test_whisper_is_that_of_transformers_on_a_window_of_its_own_length(t, bands):
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=bands)
    whole = t // 160 * 160  # the extractor counts a last, partly filled frame where t is no multiple of the hop
    expected = extractor._np_extract_fbank_features(sound(t)[None], "cpu")[0]
    got = prepare(sound(t), SoundInput(RATE, 30.0, front="whisper", bands=bands))["mel"]
    assert got.shape == (1, bands, whole // 160)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], expected[:, : whole // 160], atol=2e-4)


@needs_transformers
def test_whisper_of_a_fixed_length_is_that_of_transformers():
    from transformers import WhisperFeatureExtractor

    clip = sound(2 * RATE + 5)
    expected = WhisperFeatureExtractor(feature_size=80)(clip, sampling_rate=RATE, return_tensors="np").input_features
    got = prepare(clip, SoundInput(RATE, 30.0, front="whisper", bands=80, frames=3000))["mel"]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=2e-4)


@needs_transformers
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
@pytest.mark.parametrize("t", [400, 20_000, 12 * RATE])
def test_ast_is_that_of_transformers(t):
    from transformers import ASTFeatureExtractor

    extracted = ASTFeatureExtractor()(sound(t), sampling_rate=RATE, return_tensors="np").input_values  # (1, t, bands)
    got = prepare(sound(t), AST)["mel"]
    assert got.shape == (1, 128, 1024)
    np.testing.assert_allclose(got, extracted.transpose(0, 2, 1), atol=2e-3)


@needs_transformers
def test_a_standardised_wave_is_that_of_transformers():
    from transformers import Wav2Vec2FeatureExtractor

    clip = sound(5_000) + np.float32(0.1)
    expected = Wav2Vec2FeatureExtractor()(clip, sampling_rate=RATE, return_tensors="np").input_values
    got = prepare(clip, SoundInput(RATE, 30.0, standardise=True))["wave"]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def mel_power_by_sums(samples: np.ndarray, bands: int, at: list[int]) -> np.ndarray:
    """(bands, len(at)): librosa's melspectrogram at some frames, each number a sum over samples and bins."""
    length, hop = 400, 160
    padded = np.concatenate([np.zeros(200), samples.astype(np.float64), np.zeros(200)])
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(201), np.arange(length)) / length)
    hertz = np.arange(201) * RATE / length

    def to_hertz(mels: float) -> float:
        return mels * 200 / 3 if mels < 15 else 1000 * 6.4 ** ((mels - 15) / 27)

    top = 15 + 27 * np.log(8000 / 1000) / np.log(6.4)
    edges = [to_hertz(top * i / (bands + 1)) for i in range(bands + 2)]
    found = np.zeros((bands, len(at)))
    for column, frame in enumerate(at):
        power = np.abs(waves @ (padded[frame * hop : frame * hop + length] * taper)) ** 2
        for band in range(bands):
            low, middle, high = edges[band : band + 3]
            for k, value in enumerate(power):
                if low < hertz[k] < high:
                    height = (hertz[k] - low) / (middle - low) if hertz[k] <= middle else 0.0
                    height = (high - hertz[k]) / (high - middle) if hertz[k] > middle else height
                    found[band, column] += value * height * 2 / (high - low)
    return found


def test_ge2e_is_mel_power_by_its_formula():
    clip = sound(9_000)
    assert np.sqrt((clip**2).mean()) > 10 ** (-1.5)
    got = prepare(clip, GE2E)["mel"]
    assert got.shape == (1, 40, 1 + 9_000 // 160)
    at = [0, 1, 30, 56]
    np.testing.assert_allclose(got[0][:, at], mel_power_by_sums(clip, 40, at), rtol=2e-3, atol=1e-6)


def test_ge2e_lifts_quiet_sounds_to_30_decibels_below_full_scale():
    clip = sound(9_000)
    quiet = prepare(clip * np.float32(1e-3), GE2E)["mel"]
    loudness = np.sqrt((clip.astype(np.float64) ** 2).mean())
    expected = prepare((clip * (10**-1.5 / loudness)).astype(np.float32), GE2E)["mel"]
    np.testing.assert_allclose(quiet, expected, rtol=1e-3, atol=1e-7)
    assert np.isfinite(prepare(np.zeros(9_000, np.float32), GE2E)["mel"]).all()


@pytest.mark.parametrize("how", [WHISPER, GE2E, AST, SoundInput(RATE, 30.0, shortest=400)])
@pytest.mark.parametrize("t", [1, 2, 159, 201, 399])
def test_a_short_window_is_followed_by_zeros(how, t):
    clip = sound(t)
    (name,) = prepare(clip, how)
    values = prepare(clip, how)[name]
    assert np.isfinite(values).all()
    if how.front != "ge2e":  # which makes the sound louder by what it has of it
        np.testing.assert_array_equal(values, prepare(np.pad(clip, (0, 400 - t)), how)[name])


def test_frames_are_computed_alike_in_chunks():
    """A window of more than a chunk of frames: what lies in the second chunk is what it is alone."""
    t = (_CHUNK + 100) * 160
    whole = prepare(sound(t), SoundInput(RATE, 60.0, front="ge2e", bands=40))["mel"][0]
    start = (_CHUNK + 10) * 160
    part = prepare(sound(t)[start : start + 16_000], SoundInput(RATE, 60.0, front="ge2e", bands=40))["mel"][0]
    np.testing.assert_allclose(whole[:, _CHUNK + 12 : _CHUNK + 100], part[:, 2:90], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("t", [400, 401, 559, 560, 10_000])
def test_frames_are_all_that_lie_wholly_inside(t):
    samples = sound(2 * t)[::2]
    expected = [samples[start : start + 400] for start in range(0, t - 399, 160)]
    np.testing.assert_array_equal(frames(samples, 400, 160), expected)


def test_chunks_hold_all_frames_in_order_and_are_copies():
    framed = [frames(sound(t, seed), 400, 160) for seed, t in enumerate((400, 30_000, 2_000, 25_000))]
    expected = np.concatenate(framed)
    got = list(chunks(*framed))
    np.testing.assert_array_equal(np.concatenate(got), expected)
    assert all(len(part) == _CHUNK for part in got[:-1])
    for part in got:
        part[:] = 0
    np.testing.assert_array_equal(np.concatenate(framed), expected)


def test_mean_and_std_follow_any_front():
    clip = sound(4_000)
    plain = prepare(clip, WHISPER)["mel"]
    moved = prepare(clip, SoundInput(RATE, 30.0, shortest=400, front="whisper", bands=80, mean=0.5, std=2.0))["mel"]
    np.testing.assert_allclose(moved, (plain - 0.5) / 2, atol=1e-6)


@pytest.mark.parametrize("how", [WHISPER, GE2E])
def test_another_length_of_ge2e_and_whisper_is_padded_or_cut(how):
    for wanted in (20, 200):
        assert prepare(sound(RATE), replace(how, frames=wanted))["mel"].shape == (1, how.bands, wanted)
