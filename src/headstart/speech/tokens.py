"""Texts and token ids of a Whisper recogniser, and the special tokens around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from headstart.errors import OptionError, SourceError, one_line

STEP = 0.02  # seconds between two timestamp tokens
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_STAMP_COUNT = 1501  # 0.00 to 30.00 s


class Tokens:
    """The tokenizer of a recogniser with `size` tokens; those it does not name are taken for timestamps.

    Attributes:
        multilingual: the prompt names a language.
        start, end: the ids of <|startoftranscript|> and <|endoftext|>; ids below `end` are text.
        first_stamp: the id of <|0.00|>; that of t seconds is t / STEP more.

    Raises:
        SourceError: the bytes are no tokenizer, it has more tokens than the model, or lacks one that Whisper needs.
    """

    def __init__(self, tokenizer: bytes, size: int, *, multilingual: bool) -> None:
        self._tokenizer = _opened(tokenizer)
        self._size = size
        self.multilingual = multilingual
        self.end = self._id("<|endoftext|>")
        self.start = self._id("<|startoftranscript|>")
        self._no_stamps = self._id("<|notimestamps|>")
        self.first_stamp = self._no_stamps + 1
        largest = max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        if not self.end < self._no_stamps < size or largest >= size or size < self.first_stamp + _STAMP_COUNT:
            raise SourceError(
                f"the tokenizer has ids up to {largest:,} and timestamps from {self.first_stamp:,} on, the model knows "
                f"{size:,} tokens: use the tokenizer that belongs to the model"
            )
        if multilingual:
            self._transcribe = self._id("<|transcribe|>")
            if not self.languages:
                raise SourceError("the tokenizer names no language, as <|en|>: not that of a multilingual recogniser")

    @cached_property
    def languages(self) -> dict[str, int]:
        """Code -> id of the languages that a prompt can name, by id; {} of an English recogniser."""
        if not self.multilingual:
            return {}
        named = self._tokenizer.get_vocab(with_added_tokens=True).items()
        found = [(match[1], token) for name, token in named if (match := _LANGUAGE.fullmatch(name))]
        return dict(sorted(found, key=lambda pair: pair[1]))

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every token as a string, by id."""
        names = [self._tokenizer.id_to_token(token) for token in range(self._size)]
        stamps = range(-self.first_stamp, self._size - self.first_stamp)
        return [f"<|{k * STEP:.2f}|>" if name is None else name for k, name in zip(stamps, names, strict=True)]

    def prompt(self, language: str | None = None, *, timestamps: bool = False) -> list[int]:
        """The ids that a transcript follows.

        Args:
            language: a code, "en"; a multilingual recogniser needs one, an English one takes "en" or None.
            timestamps: the transcript has timestamp tokens.

        Raises:
            OptionError: the recogniser does not know the language, or none is given and it knows several.
        """
        self.check_language(language)
        ids = [self.start]
        if self.multilingual:
            if language is None:
                raise OptionError("this recogniser knows many languages: name one, as 'en'")
            ids += [self.languages[language], self._transcribe]
        return ids if timestamps else [*ids, self._no_stamps]

    def check_language(self, language: str | None) -> None:
        """Accept a language that the recogniser knows, and None.

        Raises:
            OptionError: it does not know it.
        """
        known = list(self.languages) or ["en"]
        if language is not None and language not in known:
            near = language.lower().replace("_", "-").partition("-")[0]
            hint = f" (did you mean {near!r}?)" if near in known else ""
            raise OptionError(f"language {language!r} is not one this recogniser knows{hint}: {', '.join(known)}")

    def encode(self, text: str) -> list[int]:
        """The ids of a text, no special tokens among them, whatever the text spells.

        Whisper's texts begin with a blank, which is added here; white space at the ends is dropped.
        """
        # "<|" spelled in a text would be read as a special token.
        plain = text.replace("<|", "< |").strip()
        ids: list[int] = self._tokenizer.encode(f" {plain}", add_special_tokens=False).ids if plain else []
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens and timestamps among them are left out."""
        text: str = self._tokenizer.decode([token for token in ids if token < self.end], skip_special_tokens=False)
        return text

    def _id(self, name: str) -> int:
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise SourceError(f"the tokenizer has no {name}: it is not that of a Whisper recogniser")
        return int(token)


def _opened(tokenizer: bytes) -> Any:
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_buffer(tokenizer)
    except Exception as error:  # the library raises plain Exception
        reason = one_line(error)[:120]
        raise SourceError(f"the tokenizer is not a tokenizer.json of the tokenizers library ({reason})") from None
