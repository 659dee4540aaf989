"""The probe: labelled, prepared as asked, the same every time."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from headstart.engines.probe import CROPS, probe
from headstart.engines.probe_sounds import SOUNDS, sounds
from headstart.errors import EngineError
from headstart.fronts import prepare
from headstart.sources.base import SoundInput, Source, TextInput


def test_images_are_prepared_as_the_source_says(image_source: Source) -> None:
    found = probe(image_source)
    pixels = np.concatenate([feeds["image"] for feeds in found.feeds])
    assert pixels.shape == (128, 3, 32, 32)
    assert pixels.dtype == np.float32
    assert pixels.min() >= -1
    assert pixels.max() <= 1
    assert pixels.std() > 0.2
    assert np.bincount(found.labels).tolist() == [CROPS] * 16
    shifted = probe(replace(image_source, input=replace(image_source.input, mean=(0.5, 0.5, 0.25))))
    delta = shifted.feeds[0]["image"] - found.feeds[0]["image"]
    np.testing.assert_allclose(delta[:, 2], 0.5, atol=1e-6)
    np.testing.assert_allclose(delta[:, :2], 0.0, atol=1e-6)


def test_the_same_seed_is_the_same_probe(image_source: Source) -> None:
    one, same, other = (probe(image_source, seed=seed).feeds[0]["image"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_texts_are_padded_and_masked(text_source: Source) -> None:
    found = probe(text_source)
    assert len(found) == 96
    assert np.bincount(found.labels).tolist() == [12] * 8
    for feeds in found.feeds:
        ids, mask = feeds["input_ids"], feeds["attention_mask"]
        assert ids.dtype == mask.dtype == np.int64
        assert ids.shape == mask.shape
        assert ids.shape[1] <= 24
        assert (ids[mask == 0] == 0).all()
        assert mask[:, 0].all()


def test_the_prefix_comes_first(text_source: Source) -> None:
    ids = probe(replace(text_source, input=TextInput(24, prefix="q "))).feeds[0]["input_ids"]
    assert (ids[:, 0] == 2 + ord("q") - ord("a")).all()


def test_batches_change_nothing_else(image_source: Source) -> None:
    small, large = probe(image_source), probe(image_source, scale=4)
    assert len(large.feeds) * 4 == len(small.feeds)
    np.testing.assert_array_equal(small.labels, large.labels)
    np.testing.assert_array_equal(small.feeds[5]["image"], large.feeds[1]["image"][1:2])


def test_sounds_are_prepared_as_the_source_says(sound_source: Source) -> None:
    found = probe(sound_source)
    assert len(found) == len(found.feeds) == 96
    assert np.bincount(found.labels).tolist() == [SOUNDS] * 8
    lengths = {feeds["mel"].shape[2] for feeds in found.feeds}
    assert all(feeds["mel"].shape[:2] == (1, 8) and feeds["mel"].dtype == np.float32 for feeds in found.feeds)
    assert 100 <= min(lengths) < 150
    assert 250 < max(lengths) <= 300
    assert len(lengths) > 40
    how = SoundInput(rate=8_000, seconds=0.5, shortest=6_000, standardise=True)
    waves = [feeds["wave"] for feeds in probe(replace(sound_source, input=how)).feeds]
    assert {wave.shape for wave in waves} == {(1, 6_000)}  # 0.5 s, and zeros up to the shortest
    assert all(np.isfinite(wave).all() and abs(wave[0, :4_000].std() - 1) < 1e-3 for wave in waves)
    assert not any(wave[0, 4_000:].any() for wave in waves)
    one, same, other = (probe(sound_source, seed=seed).feeds[0]["mel"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_the_kinds_of_sound_can_be_told_apart() -> None:
    """By a nearest mean of a coarse spectrum and its change over time, which is far from what a source does."""
    rows = {}
    how = SoundInput(rate=16_000, seconds=30, front="whisper", bands=16)
    for seed in (0, 1):
        made, labels = sounds(how, seed)
        mels = [prepare(one, how)["mel"][0] for one in made]
        rows[seed] = np.array([[*m.mean(1), *m.std(1), *np.diff(m).std(1)] for m in mels]), labels
    (train, known), (test, true) = rows[0], rows[1]
    means = np.stack([train[known == k].mean(0) for k in range(8)])
    guessed = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    assert (guessed == true).mean() > 0.6  # chance is 0.125


@pytest.mark.parametrize("rate", [100, 1_000, 384_000])
def test_any_rate_makes_finite_sounds(rate: int) -> None:
    made, _ = sounds(SoundInput(rate=rate, seconds=0.02), 0)
    assert all(np.isfinite(one).all() and 1 <= len(one) <= 0.02 * rate and one.dtype == np.float32 for one in made)


@pytest.mark.parametrize("n", [1, 8, 11, 500])
def test_head_takes_the_first_items(image_source: Source, n: int) -> None:
    whole, part = probe(image_source), probe(image_source).head(n)
    assert len(part) == min(n, 128) == sum(len(feeds["image"]) for feeds in part.feeds)
    np.testing.assert_array_equal(part.labels, whole.labels[:n])


def test_a_broken_tokenizer_is_an_engine_error(text_source: Source) -> None:
    text_source.tokenizer.write_text("{}", encoding="utf-8")
    with pytest.raises(EngineError, match="tokenizer"):
        probe(text_source)


def test_scikit_learn_is_not_imported(image_source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    probe(image_source)
    assert not any(name.partition(".")[0] == "sklearn" for name in sys.modules)
