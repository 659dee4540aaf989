"""The probe: labelled, prepared as asked, the same every time."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from headstart.engines.probe import CROPS, probe
from headstart.errors import EngineError
from headstart.sources.base import Source, TextInput


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
