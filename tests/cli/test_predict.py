"""headstart predict: a line an item, from arguments or stdin."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.cli.main import main
from headstart.cli.predict import describe

Install = Callable[[list[dict[str, Any]]], list[Any]]


@pytest.fixture
def install(stand_in: Callable[..., None]) -> Install:
    def with_answers(answers: list[dict[str, Any]]) -> list[Any]:
        seen: list[Any] = []

        def predict_iter(inputs: Sequence[str], *, input: str | None, progress: Any) -> Iterator[dict[str, Any]]:  # noqa: A002
            seen.append((list(inputs), input))
            print("chatter")
            yield from answers

        def load(path: str) -> SimpleNamespace:
            seen.append(path)
            return SimpleNamespace(predict_iter=predict_iter)

        stand_in("headstart.workflow.saved", load=load)
        return seen

    return with_answers


GOOD = {"input": "a.jpg", "label": "wren", "probability": 0.9821, "probabilities": {"wren": 0.9821, "owl": 0.0179},
        "set": None, "unknown": None}  # fmt: skip
BAD = {"input": "b.jpg", "error": "the file is cut off"}


def test_json_is_a_line_an_item(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    seen = install([GOOD, BAD])
    assert main(["predict", "m.headstart", "a.jpg", "b.jpg", "--input", "path", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [GOOD, BAD]
    assert seen == ["m.headstart", (["a.jpg", "b.jpg"], "path")]
    assert "1 of 2 items could not be predicted" in err


def test_people_see_labels_on_stdout_and_failures_on_stderr(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install([GOOD, BAD])
    assert main(["predict", "m.headstart", "a.jpg", "longer.jpg"]) == 0
    out, err = capsys.readouterr()
    assert out == "a.jpg       wren  98.2 %\n"
    assert "headstart: b.jpg: the file is cut off\n" in err


def test_control_characters_do_not_reach_the_terminal(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    odd = GOOD | {"input": "a\n\x1b[2Jb", "label": "\x1b[31mred\u202e"}
    install([odd, {"input": "b\x9b", "error": "no\x07"}])
    assert main(["predict", "m.headstart", "a\n\x1b[2Jb", "b\x9b"]) == 0
    out, err = capsys.readouterr()
    assert out == "a\\n\\x1b[2Jb  \\x1b[31mred\\u202e  98.2 %\n"
    assert "headstart: b\\x9b: no\\x07\n" in err
    assert main(["predict", "m.headstart", "x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == odd


def test_json_is_as_it_was_whatever_it_holds(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    odd = GOOD | {"input": "".join(map(chr, range(0x300))) + "\u2028\u202e\u2066"}
    install([odd])
    assert main(["predict", "m.headstart", "x", "--json"]) == 0
    assert capsys.readouterr().out == json.dumps(odd) + "\n"


@pytest.mark.parametrize(("given", "shown"), [("", "''"), ("  ", "'  '"), ("\t", "'\\t'")])
def test_a_blank_input_is_quoted(install: Install, capsys: pytest.CaptureFixture[str], given: str, shown: str) -> None:
    install([{"input": given, "error": "empty text"}])
    assert main(["predict", "m.headstart", given]) == 2
    assert f"headstart: {shown}: empty text\n" in capsys.readouterr().err


@pytest.mark.parametrize("answers", [[], [BAD], [BAD, BAD]])
def test_two_if_nothing_could_be_predicted(install: Install, answers: list[dict[str, Any]]) -> None:
    install(answers)
    assert main(["predict", "m.headstart", "b.jpg"]) == 2


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        ("a\u2028b\x0bc\n".encode(), ["a\u2028b\x0bc"]),
        (b"caf\xe9.jpg\n", ["caf\udce9.jpg"]),
        (b"", []),
    ],
)
def test_stdin_gives_one_input_a_line(
    install: Install, monkeypatch: pytest.MonkeyPatch, typed: bytes, lines: list[str]
) -> None:
    seen = install([GOOD])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    assert main(["predict", "m.headstart", "first", "-", "last"]) == 0
    assert seen[1] == (["first", *lines, "last"], None)


def test_names_that_are_not_utf_8_are_printed(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install([GOOD | {"input": "caf\udce9.jpg"}])
    assert main(["predict", "m.headstart", "x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == "caf\udce9.jpg"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"label": "wren", "probability": 1.0}, "wren  100.0 %"),
        ({"label": ["a", "b"], "probability": 0.5}, "a, b  50.0 %"),
        ({"label": [], "probability": 0.5}, "(no label)  50.0 %"),
        ({"label": 0.25, "probability": None}, ".25"),
        ({"label": "wren", "probability": 0.4, "unknown": True}, "wren  40.0 %  unknown"),
    ],
)
def test_predictions_for_people(item: dict[str, Any], text: str) -> None:
    assert describe(item) == text
