"""Transcripts as people wrote them: case and punctuation kept, what cannot be seen or heard taken out."""

from __future__ import annotations

import re
import unicodedata

# Letters of Persian and of Indian scripts are joined or parted by these two, so they stay.
_JOINERS = "\u200c\u200d"
_ANNOTATION = re.compile(r"\s*(\[[^\]]*\]|\([^)]*\)|<[^>]*>)\s*")


def clean(text: str) -> str:
    """The text in NFC, without control characters, bidirectional marks and lone surrogates, blanks in a row made one.

    >>> clean("cafe\\u0301\\u200f \\tnoir")
    'café noir'
    """
    kept = "".join(_kept(c) for c in unicodedata.normalize("NFC", text))
    return " ".join(kept.split())


def why_unspoken(text: str) -> str:
    """Why a cleaned text is no transcript of speech; "" where it may be one."""
    if not text:
        return "empty transcript"
    if "\N{REPLACEMENT CHARACTER}" in text:
        return f"the transcript {text!r} was damaged by a wrong encoding: save the table as UTF-8"
    if _ANNOTATION.fullmatch(text):
        return f"the transcript {text!r} is a note in brackets, no words"
    if not any(c.isalnum() for c in text):
        return f"the transcript {text!r} has no letter and no digit"
    return ""


def _kept(c: str) -> str:
    category = unicodedata.category(c)
    if category == "Cc":
        return " " if c.isspace() else ""
    return "" if category in ("Cf", "Cs") and c not in _JOINERS else c
