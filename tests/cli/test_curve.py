"""headstart curve: options reach the workflow, the report reaches the user."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.cli.main import main


def point(size: int | None, per_class: float, value: float) -> dict[str, Any]:
    return {"size": size, "per_class": per_class, "score": {"value": value, "low": value - 0.05, "high": value + 0.04}}


def report() -> dict[str, Any]:
    return {
        "name": "birds",
        "metric": "accuracy",
        "n_learn": 171,
        "n_test": 73,
        "draws": 5,
        "curves": [
            {"name": "no transfer", "points": [point(1, 1.0, 0.526), point(None, 85.5, 0.658)]},
            {"name": "probe", "points": [point(1, 1.0, 0.63), point(None, 85.5, 0.945)]},
        ],
        "saved": [{"text": "labels saved by probe over no transfer: 78 x"}],
        "notes": ["birds: 244 images", "a late note"],
        "figure": "birds.curve.svg",
    }


@pytest.fixture
def calls(stand_in: Callable[..., None]) -> list[Any]:
    made: list[Any] = []

    def curve(data: Path, options: SimpleNamespace, progress: Any) -> dict[str, Any]:
        made.append((data, options))
        progress.say("birds: 244 images")
        return report()

    stand_in("headstart.workflow", CurveOptions=SimpleNamespace, curve=curve)
    return made


def test_options_reach_the_workflow(calls: list[Any]) -> None:
    arguments = (
        "curve birds.csv --out o.svg --source a --source b --strategy scratch --shots 1,5,all --draws 7 --test 0.4 "
        "--modality text --task binary --input t --label l --group g --time w --seed 7 --no-cache --json"
    )
    assert main(arguments.split()) == 0
    [(data, options)] = calls
    assert data == Path("birds.csv")
    assert vars(options) == {
        "out": Path("o.svg"), "sources": ("a", "b"), "strategies": ("scratch",), "shots": (1, 5), "draws": 7,
        "test": 0.4, "modality": "text", "task": "binary", "input": "t", "label": "l", "group": "g", "time": "w",
        "seed": 7, "cache": False,
    }  # fmt: skip


def test_the_real_options_have_these_fields_and_defaults(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    main(["curve", "x"])
    monkeypatch.undo()
    from headstart.workflow import CurveOptions

    given = vars(calls[0][1])
    assert given.keys() == {field.name for field in dataclasses.fields(CurveOptions)}
    assert CurveOptions(**given) == CurveOptions(out=Path("x.curve.svg"))


def test_json_is_one_document_and_nothing_else(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curve", "birds", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == report()
    assert out.count("\n") == 1
    assert "244 images" in err


def test_the_table_for_people(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curve", "birds"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a late note",
        "171 items to learn from, 73 to test on; mean of 5 draws",
        "labels a class  no transfer         probe",
        "             1  52.6  [47.6, 56.6]  63.0  [58.0, 67.0]",
        "      all (86)  65.8  [60.8, 69.8]  94.5  [89.5, 98.5]",
        "labels saved by probe over no transfer: 78 x",
        "figure birds.curve.svg",
    ]


@pytest.mark.parametrize("shots", ["", "0", "1,x", "all", "-1", "1;2", "1.5"])
def test_shots_that_are_none(calls: list[Any], capsys: pytest.CaptureFixture[str], shots: str) -> None:
    assert main(["curve", "birds", "--shots", shots]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not calls
