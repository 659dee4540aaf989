from __future__ import annotations

import json

import numpy as np
import pytest

from headstart.errors import OptionError, SourceError
from headstart.speech import bundled
from headstart.speech.tokens import Tokens

from .conftest import VOCABULARY, WORDS, make_tokenizer


def test_prompts(small, several) -> None:
    start, stamps = WORDS + 1, VOCABULARY - 1501
    assert small.tokens.prompt() == small.tokens.prompt("en") == [start, stamps - 1]
    assert small.tokens.prompt(timestamps=True) == [start]
    assert several.tokens.prompt("fr") == [start, WORDS + 4, WORDS + 6, stamps - 1]
    assert several.tokens.prompt("es", timestamps=True) == [start, WORDS + 3, WORDS + 6]
    assert small.tokens.first_stamp == stamps


def test_a_language_must_be_known(small, several) -> None:
    with pytest.raises(OptionError, match=r"'de' is not one this recogniser knows: en, es, fr"):
        several.tokens.prompt("de")
    with pytest.raises(OptionError, match=r"'es-MX' .*did you mean 'es'"):
        several.tokens.prompt("es-MX")
    with pytest.raises(OptionError, match="name one"):
        several.tokens.prompt()
    with pytest.raises(OptionError, match=r"'es' .*: en$"):
        small.tokens.prompt("es")


@pytest.mark.parametrize("text", ["Thank you.", "¿Qué?", "a  b", "日本", "<|endoftext|> and <|0.00|>"])
def test_a_text_comes_back_and_holds_no_special_token(small, text) -> None:
    ids = small.tokens.encode(text)
    assert max(ids) < small.tokens.end
    assert small.tokens.decode(ids) == f" {text}".replace("<|", "< |")


def test_nothing_has_no_tokens(small) -> None:
    assert small.tokens.encode("  \n") == []


def test_special_tokens_and_timestamps_are_left_out_of_texts(small) -> None:
    tokens = small.tokens
    assert tokens.decode([tokens.first_stamp, *tokens.encode("a"), tokens.first_stamp + 50, tokens.end]) == " a"


def test_timestamps_get_their_names(small) -> None:
    assert small.tokens.vocabulary[small.tokens.first_stamp] == "<|0.00|>"
    assert small.tokens.vocabulary[-1] == "<|30.00|>"
    assert len(small.tokens.vocabulary) == VOCABULARY


@pytest.mark.parametrize("size", [VOCABULARY - 1, WORDS, 0])
def test_a_tokenizer_of_another_model(size) -> None:
    with pytest.raises(SourceError, match="belongs to the model"):
        Tokens(make_tokenizer(), size, multilingual=False)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\x00", b"[1]", json.dumps({"model": {"type": "BPE"}}).encode()])
def test_what_is_no_tokenizer(data) -> None:
    with pytest.raises(SourceError, match="tokenizer"):
        Tokens(data, VOCABULARY, multilingual=False)


def test_a_tokenizer_of_another_kind_of_model() -> None:
    other = make_tokenizer().replace(b"<|startoftranscript|>", b"<|somethingelse|>")
    with pytest.raises(SourceError, match=r"no <\|startoftranscript\|>"):
        Tokens(other, VOCABULARY, multilingual=False)


@pytest.mark.parametrize("name", bundled.NAMES)
def test_the_bundled_vocabularies_are_those_of_their_packages(name) -> None:
    if not bundled.installed(name):
        pytest.skip("not installed")
    tokens = bundled.open_bundled(name).tokens
    folder = bundled._RECOGNISERS[name].tokenizer.locate().parent
    listed = folder / "vocabulary.txt"
    if listed.is_file():
        expected = listed.read_text("utf-8").removesuffix("\n").split("\n")
    else:
        expected = json.loads((folder / "vocabulary.json").read_text("utf-8"))
    assert tokens.vocabulary == expected
    assert len(tokens.languages) == (99 if name == "whisper_base" else 0)
    assert np.all(np.diff(list(tokens.languages.values()) or [1, 2]) == 1)
