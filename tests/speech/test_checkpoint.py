from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources.ctranslate2_file import parse
from headstart.speech.checkpoint import checked, halved

from .conftest import SHAPE, VOCABULARY, WORDS, make_checkpoint

NORM = "encoder/layer_norm/gamma"


def test_the_files_for_ctranslate2_hold_the_weights(small) -> None:
    files = small.files()
    model = parse(files["model.bin"], "x")
    assert (model.spec, model.revision, model.aliases) == (
        "WhisperSpec", 3, {"decoder/projection/weight": "decoder/embeddings/weight"},
    )  # fmt: skip
    for name, array in small.weights.items():
        np.testing.assert_array_equal(model.variables[name], array)
    rest = {name: int(array) for name, array in model.variables.items() if name not in small.weights}
    # What the converter of CTranslate2 4.x wrote into the bundled tiny.en.
    assert rest == {
        "decoder/activation": 3, "decoder/alibi": 0, "decoder/alignment_heads": 1, "decoder/alignment_layer": -1,
        "decoder/num_heads": 4, "decoder/pre_norm": 1, "decoder/scale_embeddings": 0,
        "decoder/start_from_zero_embedding": 0, "encoder/num_heads": 4,
    }  # fmt: skip
    assert json.loads(files["config.json"])["suppress_ids"] == list(small.settings.suppress)
    assert len(json.loads(files["vocabulary.json"])) == VOCABULARY


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_are_finite(small, value) -> None:
    spoiled = small.weights[NORM].copy()
    spoiled[3] = value
    with pytest.raises(SourceError, match=f"{NORM} has values that are not finite"):
        small.with_weights({**small.weights, NORM: spoiled})


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.int32])
def test_weights_are_of_a_type_that_it_has(small, dtype) -> None:
    with pytest.raises(SourceError, match="expected float16 or float32"):
        small.with_weights({**small.weights, NORM: small.weights[NORM].astype(dtype)})


def test_other_shapes_are_refused(small) -> None:
    with pytest.raises(SourceError, match="shape"):
        small.with_weights({**small.weights, NORM: np.ones(SHAPE.width + 1, np.float16)})


@pytest.mark.parametrize("token", [-1, VOCABULARY])
def test_tokens_to_suppress_are_there(small, token) -> None:
    with pytest.raises(SourceError, match=f"token {token} to suppress"):
        checked(replace(small, settings=replace(small.settings, suppress_first=(token,))))


def test_fingerprints_tell_what_changes_transcripts(small) -> None:
    other = {**small.weights, NORM: small.weights[NORM] * np.float16(2)}
    prints = {
        small.fingerprint,
        small.with_weights(other).fingerprint,
        replace(small, settings=replace(small.settings, suppress=(WORDS,))).fingerprint,
        replace(small, tokenizer=small.tokenizer + b" ").fingerprint,
    }
    assert len(prints) == 4
    assert replace(small, name="another", licence="other").fingerprint == small.fingerprint


def test_halved_is_float16_or_says_what_does_not_fit() -> None:
    large = make_checkpoint(dtype=np.float32)
    assert {array.dtype.name for array in halved(large).weights.values()} == {"float16"}
    with pytest.raises(SourceError, match="finite"):
        halved(large.with_weights({**large.weights, NORM: np.full(SHAPE.width, 7e4, np.float32)}))
