"""Rates by group against sums by hand, and intervals against those of the group alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.evidence.errors_by_group import FEWEST, candidates_by_group, rates_by_group
from headstart.evidence.word_errors import Errors, count_errors

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")

NAMES = ("anna", "bo", "", "dee", "never")
GROUPS = np.array([1, 0, 1, 0, 2, 3])
REFERENCES = ["press the star key", "please hold", "thank you", "all busy now", "good bye", "[beep]"]
BEFORE = ["press a stark key", "please hold", "thank me", "all now", "good bye", ""]  # edits 2, 0, 1, 1, 0, 0
AFTER = ["press the star key", "please fold", "thank you", "all busy now", "good bye", ""]  # edits 0, 1, 0, 0, 0, 0


def errors(heard: list[str]) -> Errors:
    return count_errors(REFERENCES, heard, "en")


def rate(row: dict, strategy: str) -> float:
    (found,) = [one for one in row["candidates"] if one["strategy"] == strategy]
    return found["metrics"]["word_error_rate"]["value"]


def test_rates_are_sums_over_the_group_the_worst_first() -> None:
    rows = rates_by_group(errors(BEFORE), GROUPS, NAMES)
    assert [(row["group"], row["n"], row["words"]) for row in rows] == [
        ("bo", 2, 6),
        ("anna", 2, 5),
        (None, 1, 2),
        ("dee", 1, 0),
    ]
    assert [row["metrics"]["word_error_rate"]["value"] for row in rows] == [3 / 6, 1 / 5, 0, None]


def test_before_and_after_are_beside_each_other_ordered_by_what_ships() -> None:
    given = {"untouched": errors(BEFORE), "lora": errors(AFTER)}
    rows = candidates_by_group(given, "lora", GROUPS, NAMES)
    assert [row["group"] for row in rows] == ["anna", "bo", None, "dee"]
    assert candidates_by_group(given, "untouched", GROUPS, NAMES)[0]["group"] == "bo"
    anna, bo, *_ = rows
    assert (rate(anna, "untouched"), rate(anna, "lora"), anna["gain"]["value"]) == (1 / 5, 1 / 5, 0)
    assert (rate(bo, "untouched"), rate(bo, "lora"), bo["gain"]["value"]) == (3 / 6, 0, 3 / 6)
    alone = candidates_by_group({"untouched": errors(BEFORE)}, "untouched", GROUPS, NAMES)
    assert [row["gain"] for row in alone] == [None] * 4


def test_intervals_are_those_of_the_group_alone_where_it_is_large_enough() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], [40, FEWEST - 1])
    heard = ["press the key" if rng.random() < 0.6 else "press no key" for _ in groups]
    whole = count_errors(["press the key"] * len(groups), heard, "en")
    rows = {row["group"]: row["metrics"]["word_error_rate"] for row in rates_by_group(whole, groups, ("big", "few"), 3)}
    alone = count_errors(["press the key"] * 40, heard[:40], "en").rates(seed=3)["word_error_rate"]
    assert rows["big"] == alone.json()
    assert rows["big"]["low"] < rows["big"]["value"] < rows["big"]["high"]
    assert (rows["few"]["low"], rows["few"]["high"]) == (None, None)


def test_a_group_that_is_heard_without_error_is_not_known_to_stay_so() -> None:
    whole = count_errors(["press the key"] * 40, ["press the key"] * 20 + ["press a key"] * 20, "en")
    for row in rates_by_group(whole, np.repeat([0, 1], 20), ("well", "ill")):
        assert (row["metrics"]["word_error_rate"]["low"], row["metrics"]["word_error_rate"]["high"]) == (None, None)


def test_too_few_utterances_are_not_resampled(monkeypatch) -> None:
    monkeypatch.setattr("headstart.evidence.bootstrap._replicate_means", None)  # must not be needed
    given = {"untouched": errors(BEFORE), "lora": errors(AFTER)}
    assert len(rates_by_group(given["lora"], GROUPS, NAMES)) == 4
    assert candidates_by_group(given, "lora", GROUPS, NAMES)[1]["gain"] == {"value": 3 / 6, "low": None, "high": None}


def test_a_part_of_the_errors() -> None:
    part = errors(BEFORE).take(np.array([3, 0]))
    assert part.references == ("all busy now", "press the star key")
    assert part.word_edits.tolist() == [1, 2]
    assert math.isclose(part.word_error_rate, 3 / 7)
