"""Texts made comparable before words are counted: Whisper's rules (Radford et al. 2022, arXiv 2212.04356, appendix C).

English: case, punctuation, fillers, contractions, British spellings and numbers written out are no errors. Other
languages: case and punctuation are none; marks that are letters' parts (vowel signs of Indian scripts) stay, which
Whisper's own basic rules cut words at. Languages written without blanks are compared letter by letter.

One rule is added: what has neither a letter nor a digit is no word. The published English rules leave the last dot of
an ellipsis at the end of a text ("to exit the menu ."), which would count as a word that nobody says or hears.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from headstart.optional import require

_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
WITHOUT_BLANKS = frozenset(("zh", "yue", "ja", "th", "lo", "my"))


def normalised(text: str, language: str) -> str:
    """The text as words with one blank between them; "" where nothing is left.

    Args:
        language: its code, "en".

    Raises:
        MissingLayerError: the package with the rules is not installed.
    """
    straight = text.translate(_APOSTROPHES)  # the rules know "it's" with this one only
    return " ".join(word for word in _rules(language)(straight).split() if any(c.isalnum() for c in word))


@lru_cache(maxsize=4)
def _rules(language: str) -> Callable[[str], str]:
    purpose = "comparing transcripts"
    if language == "en":
        english: Callable[[str], str] = require("whisper_normalizer.english", "speech", purpose).EnglishTextNormalizer()
        return english
    basic: Callable[[str], str] = require("whisper_normalizer.basic", "speech", purpose).BasicTextNormalizer(
        split_letters=language in WITHOUT_BLANKS, preserve_marks=True
    )
    return basic
