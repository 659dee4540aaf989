from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import EngineError, OptionError
from headstart.speech.decoder import Decoded, Decoder, without_loop

from .conftest import make_checkpoint

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(0).standard_normal((3, 100, 32)).astype(np.float32)


@pytest.fixture
def stuck():
    """A model that says one letter for ever, whatever it hears."""
    stuck = make_checkpoint()
    weights = {name: array.copy() for name, array in stuck.weights.items()}
    weights["decoder/embeddings/weight"][:] = 0
    weights["decoder/embeddings/weight"][:10, 0] = np.linspace(5, 4, 10)
    weights["decoder/layer_norm/gamma"][:] = 0
    weights["decoder/layer_norm/beta"][:] = 1
    return stuck.with_weights(weights)


def test_a_loop_is_decoded_again_and_only_that(stuck, states, monkeypatch) -> None:
    decoder = Decoder(stuck, compute="float32", workers=1)
    first = decoder._generate(states[:1], ["en"], 1, False)[0]
    assert len(first.ids) == 32  # half of the positions: it did not end
    assert len(set(first.ids[1:])) == 1
    fours = decoder._generate(states[:1], ["en"], 1, False, ngram=4)[0].ids
    assert len({fours[k : k + 4] for k in range(len(fours) - 3)}) == len(fours) - 3
    ended, digits = replace(first, ids=(5, 6)), replace(first, ids=first.ids[:31])
    attempts: list[int] = []

    def generate(answers):
        def answer(states, languages, beam, timestamps, ngram=0):
            attempts.append(ngram)
            return [answers[len(attempts) - 1]]

        attempts.clear()
        monkeypatch.setattr(decoder, "_generate", answer)
        return decoder.decode(states[:1], ["en"], beam=1, timestamps=False)

    assert generate([first, ended]) == [ended]
    assert attempts == [0, 4]
    assert generate([first, first]) == [without_loop(first)]
    assert generate([digits]) == [digits]  # it repeats itself, and ends: so it was said


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("abcabcabc", "abc"), ("xyabcabcabc", "xyabc"), ("xyabcabcabcab", "xyabc"), ("aaa", "a"), ("xababab", "xab"),
        ("abab", "abab"), ("abc", "abc"), ("xyy", "xyy"), ("aaax", "aaax"), ("", ""),
    ],
)  # fmt: skip
def test_a_loop_at_the_end_is_said_once(said, kept) -> None:
    decoded = Decoded(tuple(map(ord, said)), -0.5 * (len(said) + 1), 0.1, "en")
    found = without_loop(decoded)
    assert "".join(map(chr, found.ids)) == kept
    assert found.mean == pytest.approx(-0.5)


def test_a_long_text_without_repetition_is_kept(small, states, monkeypatch) -> None:
    decoder = Decoder(small, compute="float32", workers=1)
    found = Decoded(tuple(range(4, 68)), -3.0, 0.0, "en")
    monkeypatch.setattr(decoder, "_generate", lambda *_, ngram=0: [found] if not ngram else pytest.fail("again"))
    assert decoder.decode(states[:1], ["en"], beam=1, timestamps=False) == [found]


def test_a_text_that_is_not_aligned_has_no_times(small, states, monkeypatch) -> None:
    decoder = Decoder(small, compute="float32", workers=1)
    (decoded,) = decoder.decode(states[:1], ["en"], beam=1, timestamps=False)
    assert len(decoder.starts(states[0], decoded, 1.0)) == len(decoded.ids)

    class Refusing:
        def align(self, *_):
            raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(decoder, "_model", Refusing())
    assert decoder.starts(states[0], decoded, 1.0) is None


def test_timestamps_are_asked_for(small, states) -> None:
    decoder, first = Decoder(small, compute="float32", workers=1), small.tokens.first_stamp
    plain = decoder.decode(states, ["en"] * 3, beam=1, timestamps=False)
    timed = decoder.decode(states, ["en"] * 3, beam=1, timestamps=True)
    assert all(one.ids[0] >= first for one in timed)
    assert all(0 <= one.no_speech <= 1 and one.log_probability <= 0 for one in plain + timed)


def test_the_language_of_a_small_vocabulary_must_be_named(several, states) -> None:
    with pytest.raises(OptionError, match="name it"):
        Decoder(several, compute="float32", workers=1).languages(states)


def test_what_ctranslate2_does_not_know_is_an_error_of_ours(small) -> None:
    with pytest.raises(EngineError, match="does not load small in float8"):
        Decoder(small, compute="float8", workers=1)
