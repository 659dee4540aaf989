"""The face's small parts: durations, numbers, tables, JSON values, progress."""

from __future__ import annotations

import argparse
import importlib.util
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest

from headstart.cli import progress as module
from headstart.cli import tables
from headstart.cli.lines import visible
from headstart.cli.output import plain
from headstart.cli.parsing import duration
from headstart.cli.progress import Lines, watch

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h30m", 5400), (" 2M ", 120)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 days", "1e3", "nan", "inf", "0", "0m", "5s!", "m5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 90s, 5m or 1h30m"):
        duration(text)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (tables.size(0), "0 bytes"),
        (tables.size(999), "999 bytes"),
        (tables.size(1000), "1.0 kB"),
        (tables.size(21_400_000), "21 MB"),
        (tables.size(5e15), "5000 TB"),
        (tables.seconds(0.04), "0.0 s"),
        (tables.seconds(74.4), "74 s"),
        (tables.seconds(3600), "60 min"),
        (tables.seconds(None), "-"),
        (tables.decimals(0.239), ".24"),
        (tables.decimals(-0.5), "-.50"),
        (tables.decimals(1.119), "1.12"),
        (tables.decimals(10.5), "10.50"),
        (tables.decimals(-4.5e-7), "-4.5e-07"),
        (tables.decimals(0.0021), ".0021"),
        (tables.decimals(0.0), ".00"),
        (tables.decimals(12345.6), "1.235e+04"),
        (tables.decimals(math.nan), "-"),
        (tables.points(0.9344), "93.4"),
        (tables.percent(None), "-"),
        (tables.metric("accuracy", {"value": 0.5, "low": 0.4, "high": None}), "50.0"),
        (tables.metric("brier", {"value": 0.5, "low": 0.4, "high": 0.6}), ".50  [.40, .60]"),
        (tables.metric("accuracy", None), "-"),
    ],
)
def test_numbers_for_people(shown: str, expected: str) -> None:
    assert shown == expected


def test_tables_align_wide_and_combining_characters() -> None:
    lines = tables.table(["a", "n"], [["猫", "1"], ["e\u0301", "22"], ["xyz", "333"]], right=(1,))
    assert lines == ["a      n", "猫     1", "e\u0301     22", "xyz  333"]


def test_values_become_plain_json() -> None:
    value = {
        1: float("inf"),
        "a": (np.float32(0.5), np.float64("nan"), np.int64(3), np.bool_(True)),
        "b": np.array([[1.0, np.nan]]),
        "p": Path("x"),
        "t": (True, None, "s"),
    }
    assert plain(value) == {
        "1": None, "a": [0.5, None, 3, True], "b": [[1.0, None]], "p": "x", "t": [True, None, "s"],
    }  # fmt: skip


class Clock:
    """time.monotonic under the test's control."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


def test_lines_come_at_most_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    progress = Lines(stream, every=5)
    with progress.bar("embed", "lite2", 1240, "images") as bar:
        for _ in range(100):
            clock.now += 0.125
            bar.advance(10)
    assert stream.getvalue().splitlines() == [
        "embed lite2  400/1240  80 images/s",
        "embed lite2  800/1240  80 images/s",
        "embed lite2  1000/1240  80 images/s",
    ]


def test_short_bars_leave_no_line_and_unknown_totals_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    progress = watch(stream)
    with progress.bar("score", "", 3, "candidates") as bar:
        clock.now += 0.9
        bar.advance()
    progress.say("a note")
    with progress.bar("read", "", None, "rows") as bar:
        clock.now += 4
        bar.advance()
    with progress.bar("score", "lite2", 3, "candidates") as bar:
        clock.now += 2
        bar.advance()
    with progress.bar("late", "", 1, "candidates") as bar:
        clock.now += 6
        bar.advance()
    assert stream.getvalue().splitlines() == [
        "a note", "read  1  0.25 rows/s", "score lite2  1/3  candidates", "late  1/1  candidates",
    ]  # fmt: skip
    assert progress.said == ["a note"]


def test_what_the_cache_knew_is_not_in_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    progress = Lines(stream, every=5)
    with progress.bar("embed", "lite2", 160, "images") as bar:
        clock.now += 2  # looking up
        bar.advance(100, cached=True)
        clock.now += 3
        bar.advance(0)
        for _ in range(5):
            clock.now += 1
            bar.advance(10)
        bar.advance(10, cached=True)  # a file that was moved
    with progress.bar("embed", "lite2", 60, "images") as bar:
        clock.now += 1
        bar.advance(48, cached=True)
        clock.now += 1
        bar.advance(12)
    assert stream.getvalue().splitlines() == [
        "embed lite2  100/160  images (100 from the cache)",
        "embed lite2  150/160  6.25 images/s (100 from the cache)",
        "embed lite2  160/160  6.25 images/s (110 from the cache)",
        "embed lite2  60/60  images (48 from the cache)",
    ]


def test_nothing_is_told_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    progress = Lines(stream, every=5)
    with progress.bar("embed", "lite2", 48, "images") as bar:
        clock.now += 20
        bar.advance(0, cached=True)  # the engine opens
        clock.now += 20
        bar.advance(0)
        assert stream.getvalue() == ""
        bar.advance(8)
    assert stream.getvalue() == "embed lite2  8/48  0.40 images/s\n"


def test_a_line_a_minute_says_that_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    progress = Lines(stream, every=5)
    with progress.bar("score", "lite2", 20, "fits") as bar:
        for k in range(40):
            clock.now += 5
            bar.advance(k in (26, 39))
    assert stream.getvalue().splitlines() == [
        "score lite2  0/20  fits, still at it",
        "score lite2  0/20  fits, still at it",
        "score lite2  1/20  fits",
        "score lite2  1/20  fits, still at it",
        "score lite2  2/20  fits",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(module, "_WORTH_A_LINE", 0.0)
    stream = Terminal()
    progress = watch(stream)
    with progress.bar("embed", "lite2 [x]", 40, "images") as outer, progress.bar("score", "", None, "fits") as inner:
        outer.advance(4, cached=True)
        outer.advance(36)
        inner.advance()
        progress.say("a [note]")
    with progress.bar("again", "", 1, "rows") as bar:
        bar.advance()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "lite2 [x]" in text
    assert "40/40" in text
    assert "images/s (4 from the cache)" in text
    assert "a [note]" in text
    assert "again" in text
    assert text.endswith("\n")
    assert progress.said == ["a [note]"]


def test_no_bars_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(watch(Terminal()), Lines)


def test_the_commands_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("write_help", ROOT / "scripts" / "write_help.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python scripts/write_help.py"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\t\0", "a\\nb\\r\\t\\x00"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b1m\x85", "\\x9b1m\\x85"),
        ("\u202egpj\u2066\u2028", "\\u202egpj\\u2066\\u2028"),
        ("дятел 啄木鸟 é ◀ \udce9 עברית\u200f", "дятел 啄木鸟 é ◀ \udce9 עברית\u200f"),
    ],
)
def test_control_characters_are_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert tables.table(["name", "n"], [[text, "1"], ["x", "2"]])[1] == f"{shown}  1"
