"""Word and character error rates: edits of all utterances over the length of all references.

An utterance's edits are the least number of substitutions, deletions and insertions (Levenshtein). The rate of a
corpus is the ratio of two sums, not the mean of ratios, so that short utterances do not count for more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.bootstrap import ratio_interval
from headstart.evidence.intervals import Interval
from headstart.evidence.text_normaliser import normalised
from headstart.evidence.units import units_of
from headstart.optional import require

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Errors:
    """Edits between n references and what a recogniser heard.

    Attributes:
        references, heard: n normalised texts each.
        word_edits, words: (n,) float64: edits, and words of the reference.
        character_edits, characters: (n,) float64, blanks between words counted as characters.
    """

    references: tuple[str, ...]
    heard: tuple[str, ...]
    word_edits: Floats
    words: Floats
    character_edits: Floats
    characters: Floats

    def __len__(self) -> int:
        return len(self.references)

    def take(self, rows: NDArray[np.int64]) -> Errors:
        """Those of the utterances at positions `rows`."""
        references, heard = (tuple(given[i] for i in rows) for given in (self.references, self.heard))
        counts = (self.word_edits, self.words, self.character_edits, self.characters)
        return Errors(references, heard, *(given[rows] for given in counts))

    def rates(self, groups: Groups | None = None, seed: int = 0) -> dict[str, Interval]:
        """`word_error_rate` and `character_error_rate` with their intervals; nan where the references have no words.

        Args:
            groups: (n,) codes of what is not independent.
        """
        return {
            "word_error_rate": _ratio(self.word_edits, self.words, groups, seed),
            "character_error_rate": _ratio(self.character_edits, self.characters, groups, seed),
        }

    @property
    def word_error_rate(self) -> float:
        """Without an interval; nan where the references have no words."""
        words = float(self.words.sum())
        return float(self.word_edits.sum()) / words if words else math.nan

    def gain_over(self, other: Errors, groups: Groups | None = None, seed: int = 0) -> Interval:
        """By how much this word error rate is lower than another's on the same utterances, with a paired interval.

        Raises:
            DataError: the references are not the same.
        """
        if self.references != other.references:
            raise DataError("two recognisers are compared on different references; give both the same utterances")
        return _ratio(other.word_edits - self.word_edits, self.words, groups, seed)


def count_errors(references: Sequence[str], heard: Sequence[str], language: str) -> Errors:
    """The edits between transcripts, after normalising both by the rules of the language.

    Args:
        references, heard: n texts as written and as recognised.
        language: a code, "en".

    Raises:
        DataError: no utterances, or unequal numbers of them.
        MissingLayerError: the layer "speech" is not installed.
    """
    if not references or len(references) != len(heard):
        raise DataError(f"got {len(references)} references and {len(heard)} transcripts; expected as many, at least 1")
    left = tuple(normalised(text, language) for text in references)
    right = tuple(normalised(text, language) for text in heard)
    by_words, by_characters = _aligned(left, right, "words"), _aligned(left, right, "characters")
    return Errors(
        left,
        right,
        _edits(by_words),
        np.array([len(text.split()) for text in left], np.float64),
        _edits(by_characters),
        np.array([len(text) for text in left], np.float64),
    )


@dataclass(frozen=True)
class Changed:
    """Words of the references that one recogniser gets right and the other does not; word -> how often."""

    improved: Counter[str]
    worse: Counter[str]

    def json(self, most: int = 10) -> dict[str, object]:
        """`improved`, `worse`: how many; `top_improved`, `top_worse`: [word, count] of the most frequent."""
        return {
            "improved": self.improved.total(),
            "worse": self.worse.total(),
            "top_improved": _top(self.improved, most),
            "top_worse": _top(self.worse, most),
        }


def changed_words(before: Errors, after: Errors) -> Changed:
    """Which words of the references `after` newly gets right, and newly gets wrong, by the alignments of both.

    Raises:
        DataError: the references are not the same.
    """
    if before.references != after.references:
        raise DataError("two recognisers are compared on different references; give both the same utterances")
    changed = Changed(Counter(), Counter())
    for words, was, now in zip(
        (text.split() for text in before.references), _right_words(before), _right_words(after), strict=True
    ):
        changed.improved.update(words[i] for i in sorted(now - was))
        changed.worse.update(words[i] for i in sorted(was - now))
    return changed


def _aligned(references: Sequence[str], heard: Sequence[str], by: Literal["words", "characters"]) -> list[list[Any]]:
    """jiwer's alignment of each pair: parts that are equal, substituted, deleted or inserted."""
    jiwer = require("jiwer", "speech", "comparing transcripts")
    process = jiwer.process_words if by == "words" else jiwer.process_characters
    aligned: list[list[Any]] = process(list(references), list(heard)).alignments
    return aligned


def _edits(aligned: Sequence[Sequence[Any]]) -> Floats:
    """(n,) edits of each pair."""
    sizes = (
        sum(
            max(part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx)
            for part in parts
            if part.type != "equal"
        )
        for parts in aligned
    )
    return np.fromiter(sizes, np.float64, len(aligned))


def _right_words(errors: Errors) -> list[set[int]]:
    """The positions of the words of each reference that were heard."""
    return [
        {i for part in parts if part.type == "equal" for i in range(part.ref_start_idx, part.ref_end_idx)}
        for parts in _aligned(errors.references, errors.heard, "words")
    ]


def _ratio(above: Floats, below: Floats, groups: Groups | None, seed: int) -> Interval:
    if not below.sum():
        return Interval(math.nan, math.nan, math.nan)
    return ratio_interval(above, below, units_of(len(above), groups), seed)


def _top(counts: Counter[str], most: int) -> list[list[object]]:
    return [[word, count] for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]]
