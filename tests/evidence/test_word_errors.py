"""Error rates against a brute-force edit distance, a corpus counted by hand, and transformers' copy of the rules."""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evidence.text_normaliser import normalised
from headstart.evidence.word_errors import changed_words, count_errors

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")

# By hand: 1 substitution of 4 words; 1 deletion of 3; 2 insertions on 1; nothing of 2; all 2 deleted.
CORPUS = [
    ("press the star key", "press the stark key", 1, 4),
    ("please hold on", "please hold", 1, 3),
    ("goodbye", "good bye now", 3, 1),
    ("Thank YOU.", "thank you", 0, 2),
    ("all busy", "", 2, 2),
]


def distance(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Levenshtein's, straight from its recursion."""

    @cache
    def at(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return at(len(a), len(b))


def test_a_corpus_counted_by_hand() -> None:
    errors = count_errors([row[0] for row in CORPUS], [row[1] for row in CORPUS], "en")
    assert errors.word_edits.tolist() == [row[2] for row in CORPUS]
    assert errors.words.tolist() == [row[3] for row in CORPUS]
    assert errors.word_error_rate == pytest.approx(7 / 12)
    rate = errors.rates()["word_error_rate"]
    assert rate.value == pytest.approx(7 / 12)
    assert rate.low < rate.value < rate.high


def test_edits_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["star", "key", "hold", "press", "pound"])
    pairs = [
        (" ".join(rng.choice(words, rng.integers(1, 9))), " ".join(rng.choice(words, rng.integers(0, 9))))
        for _ in range(60)
    ]
    errors = count_errors(*zip(*pairs, strict=True), "en")
    assert errors.word_edits.tolist() == [distance(tuple(a.split()), tuple(b.split())) for a, b in pairs]
    assert errors.character_edits.tolist() == [distance(tuple(a), tuple(b)) for a, b in pairs]
    assert errors.characters.tolist() == [len(a) for a, _ in pairs]


def test_the_interval_covers_what_plain_resampling_says() -> None:
    rng = np.random.default_rng(1)
    words = rng.integers(2, 12, 300)
    texts = [" ".join(["key"] * int(n)) for n in words]
    wrong = rng.binomial(words, 0.2)
    heard = [" ".join(["star"] * int(w) + ["key"] * int(n - w)) for n, w in zip(words, wrong, strict=True)]
    rate = count_errors(texts, heard, "en").rates()["word_error_rate"]
    draws = rng.integers(300, size=(4000, 300))
    low, high = np.quantile(wrong[draws].sum(axis=1) / words[draws].sum(axis=1), [0.025, 0.975])
    assert rate.low == pytest.approx(low, abs=0.006)
    assert rate.high == pytest.approx(high, abs=0.006)


def test_groups_widen_the_interval() -> None:
    groups = np.repeat(np.arange(20), 15)
    bad = groups % 4 == 0  # whole speakers are misheard
    heard = ["press no key" if wrong else "press the key" for wrong in bad]
    errors = count_errors(["press the key"] * 300, heard, "en")
    alone, together = (errors.rates(g)["word_error_rate"] for g in (None, groups))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_gain_is_paired() -> None:
    references = ["press the star key"] * 40
    before = count_errors(references, ["press a star key"] * 30 + ["press a stark key"] * 10, "en")
    after = count_errors(references, ["press the star key"] * 30 + ["press a stark key"] * 10, "en")
    gain = after.gain_over(before)
    assert gain.value == pytest.approx(30 / 160)
    assert 0 < gain.low < gain.value < gain.high
    assert before.gain_over(after).value == -gain.value
    same = after.gain_over(after)
    assert (same.low, same.high) == (0, 0)


def test_a_gain_on_other_references_is_refused() -> None:
    one, other = count_errors(["one"], ["one"], "en"), count_errors(["press"], ["one"], "en")
    with pytest.raises(DataError, match="different references"):
        one.gain_over(other)
    with pytest.raises(DataError, match="different references"):
        changed_words(one, other)


def test_words_that_changed() -> None:
    references = ["press the pound key", "the pound key please", "thank you"]
    before = count_errors(references, ["press the pong key", "the pong key please", "thank you"], "en")
    after = count_errors(references, ["press the pound key", "the pound please", "thank me"], "en")
    changed = changed_words(before, after)
    assert changed.improved == {"pound": 2}
    assert changed.worse == {"key": 1, "you": 1}
    assert changed.json() == {
        "improved": 2,
        "worse": 2,
        "top_improved": [["pound", 2]],
        "top_worse": [["key", 1], ["you", 1]],
    }


@pytest.mark.parametrize(("references", "heard"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_unequal_numbers_are_refused(references: list[str], heard: list[str]) -> None:
    with pytest.raises(DataError, match="expected as many"):
        count_errors(references, heard, "en")


def test_a_reference_without_words_counts_what_was_heard_as_insertions() -> None:
    errors = count_errors(["[beep]", "thank you"], ["hello", "thank you"], "en")
    assert errors.words.tolist() == [0, 2]
    assert errors.word_edits.tolist() == [1, 0]
    assert math.isnan(count_errors(["[beep]"], ["hello"], "en").rates()["word_error_rate"].value)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("It’s twenty-one, um, COLOUR!", "en", "it is 21 color"),
        ("Où est l’été ?", "fr", "où est l été"),
        ("नमस्ते दुनिया।", "hi", "नमस्ते दुनिया"),
        ("你好。", "zh", "你 好"),
        ("[noise] Если «занято»", "ru", "если занято"),
    ],
)
def test_what_is_no_error(text: str, language: str, expected: str) -> None:
    assert normalised(text, language) == expected


def test_english_rules_are_those_of_transformers() -> None:
    normalizer = pytest.importorskip("transformers.models.whisper.english_normalizer")
    spelling = {"colour": "color", "cancelled": "canceled", "dialled": "dialed"}
    theirs = normalizer.EnglishTextNormalizer(spelling)
    for text in (
        "Your call cannot be completed as dialled; it's been CANCELLED.",
        "Please press 1 to mute, two for the twenty-third floor, or hold on...",
        "They've got $3.50, haven't they? Um, I'd say it'll be 50 percent.",
        "Mr. Waldo's colour (red) isn't ours",
    ):
        assert normalised(text, "en") == " ".join(word for word in theirs(text).split() if re.search(r"[^\W_]", word))


def test_what_has_no_letter_and_no_digit_is_no_word() -> None:
    published = pytest.importorskip("whisper_normalizer.english").EnglishTextNormalizer()
    for text, kept in (
        ("To exit the menu...", "to exit the menu"),
        ("Wait ... what?", "wait what"),
        ("It cost $3.50, 5 % more …", "it cost $3.50 5 more"),
        ("... € - %", ""),
    ):
        assert normalised(text, "en") == kept
        assert [word for word in published(text).split() if word.strip(".%$¢€£")] == kept.split()
    assert published("To exit the menu...").split()[-1] == "."  # else the rule is not needed any more
    errors = count_errors(["To exit the menu..."], ["To exit the menu."], "en")
    assert (errors.word_edits.sum(), errors.words.sum(), errors.character_edits.sum()) == (0, 4, 0)
