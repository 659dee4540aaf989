"""headstart fit: options reach the workflow, the report reaches the user."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart import registry
from headstart.cli import fit as module
from headstart.cli.main import main
from headstart.data.dataset import MODALITIES
from headstart.plan.candidates import FROZEN_HEADS
from headstart.tasks import TASKS


def interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def candidate(source: str | None, strategy: str, accuracy: float, loss: float, seconds: float) -> dict[str, Any]:
    metrics = {"accuracy": interval(accuracy, accuracy - 0.02, accuracy + 0.01), "log_loss": interval(loss, 0, 9)}
    return {"source": source, "strategy": strategy, "metrics": metrics, "seconds": seconds}


def report() -> dict[str, Any]:
    candidates = [candidate("none", "hog-ridge", 0.613, 1.12, 2), candidate("lite2", "frozen-ridge", 0.951, 0.24, 74)]
    return {
        "name": "birds",
        "metric": "accuracy",
        "task": "multiclass",
        "chosen": {"source": "lite2", "strategy": "frozen-ridge"},
        "candidates": candidates,
        "baseline": candidates[0],
        "verdict": {"transfer_helps": True, "gain": interval(0.338, 0.3, 0.4), "text": "transfer pays: +33.8 points"},
        "estimate": interval(0.947, 0.927, 0.959),
        "optimism": 0.004,
        "skipped": [{"id": f"{k}.jpg", "reason": "cut off"} for k in range(7)],
        "notes": ["birds: 1,240 images", "a late note"],
        "seconds": {"total": 76.0},
    }


@pytest.fixture
def calls(stand_in: Callable[..., None], tmp_path: Path) -> list[Any]:
    made: list[Any] = []
    path = tmp_path / "birds.headstart"
    path.write_bytes(bytes(21_000_000))

    def fit(data: Path, options: SimpleNamespace, progress: Any) -> SimpleNamespace:
        made.append((data, options))
        print("a library's chatter")
        progress.say("birds: 1,240 images")
        return SimpleNamespace(report=report(), path=path, interrupted=False)

    stand_in("headstart.workflow", FitOptions=SimpleNamespace, fit=fit)
    return made


def test_options_reach_the_workflow(calls: list[Any]) -> None:
    arguments = (
        "fit birds.csv --out o.headstart --source a --source b --strategy frozen-ridge --budget 1m30s --modality text "
        "--task binary --input t --label l --group g --time w --balance --seed 7 --no-cache --json"
    )
    assert main(arguments.split()) == 0
    [(data, options)] = calls
    assert data == "birds.csv"
    assert vars(options) == {
        "out": Path("o.headstart"), "sources": ("a", "b"), "strategies": ("frozen-ridge",), "budget": 90.0,
        "modality": "text", "task": "binary", "input": "t", "label": "l", "group": "g", "time": "w", "balance": True,
        "seed": 7, "cache": False,
    }  # fmt: skip


def test_the_real_options_have_these_fields_and_defaults(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    main(["fit", "x"])
    monkeypatch.undo()
    from headstart.workflow import FitOptions

    given = vars(calls[0][1])
    assert given.keys() == {field.name for field in dataclasses.fields(FitOptions)}
    assert FitOptions(**given) == FitOptions(out=given["out"])


def test_words_are_those_of_the_layers_below() -> None:
    assert module.TASKS == TASKS
    assert module.MODALITIES == MODALITIES


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--group", "speaker=_(", "is no regular expression: missing )"),
        ("--label", "=x", "expected a column, or NAME=REGEX"),
        ("--group", r"speaker=_(\d+)_", "finds nothing in '0_ann_1.wav' and 1 more"),
        ("--group", "speaker", "names a column"),
        ("--modality", "sound", "no class folders, but 2 sound files"),
    ],
)
def test_what_cannot_be_read_off_the_names_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    for name in ("0_ann_1.wav", "1_bob_1.wav"):
        (tmp_path / name).touch()
    label = [] if option in ("--label", "--modality") else ["--label", r"digit=^(\d)_"]
    assert main(["fit", str(tmp_path), *label, option, value]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_the_help_names_every_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--help"])
    words = capsys.readouterr().out.replace(",", " ").replace("(", " ").replace(")", " ").split()
    named = {name for name in registry.names("headstart.strategies") if name not in words}
    named |= {f"frozen-{head}" for head in FROZEN_HEADS if f"frozen-{head}" not in words}
    assert not named


def test_an_interruption_is_said_after_the_report(
    stand_in: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "birds.headstart"
    path.write_bytes(b"x")
    result = SimpleNamespace(report=report(), path=path, interrupted=True)
    stand_in("headstart.workflow", FitOptions=SimpleNamespace, fit=lambda *given: result)
    assert main(["fit", "birds"]) == 130
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("saved ")
    assert err == "headstart: interrupted: the best model so far was kept; the same command goes on from there\n"


def test_optimism_that_rounds_to_nothing_is_not_shown() -> None:
    assert any("flatters the chosen by 0.4 points" in line for line in module.describe(report()))
    assert not any("flatters" in line for line in module.describe(report() | {"optimism": 0.0004}))


def test_moved_weights_and_fewer_folds_are_shown() -> None:
    made = report() | {"folds": 5}
    for one in made["candidates"]:
        one["folds"] = 5
    made["candidates"][1]["folds"] = 2
    moved = {"source": "lite2", "strategy": "last-stages", "epoch": 6, "blend": 0.75}
    made["moved"] = moved | {"tensors": ["a"], "parameters": 1_200_000, "of": 3_400_000}
    lines = list(module.describe(made))
    assert any(line.startswith("lite2 · frozen-ridge (2 of 5 folds)  ") for line in lines)
    last = (
        "moved: 1.20 of 3.40 million weights of lite2 by last-stages, 6 epochs, then 25% of the way back to the source"
    )
    assert lines[-1] == last


def test_json_is_one_document_and_nothing_else(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "birds", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == report()
    assert out.count("\n") == 1
    assert "a library's chatter" in err
    assert "1,240 images" in err


def test_the_table_for_people(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "birds"]) == 0
    out, _ = capsys.readouterr()
    *lines, saved = out.splitlines()
    assert lines == [
        "a late note",
        "skipped 7: 0.jpg (cut off); 1.jpg (cut off); 2.jpg (cut off); 3.jpg (cut off); 4.jpg (cut off); and 2 more",
        "strategy                 accuracy (95 % interval)  log loss   time",
        "no transfer · hog-ridge  61.3  [59.3, 62.3]            1.12  2.0 s",
        "lite2 · frozen-ridge     95.1  [93.1, 96.1]  ◀          .24   74 s",
        "choosing among these flatters the chosen by 0.4 points; without that: 94.7  [92.7, 95.9]",
        "transfer pays: +33.8 points",
    ]
    assert saved.startswith("saved ")
    assert saved.endswith("birds.headstart (21 MB)")


def test_a_regression_is_shown_in_its_own_units() -> None:
    made = report() | {"metric": "r2", "optimism": None, "skipped": [], "baseline": None}
    for one in made["candidates"]:
        one["metrics"] = {"r2": interval(0.5, 0.4, 0.6), "rmse": {"value": 12.345}}
    header, first, *_ = module.describe(made)
    assert header.split() == ["strategy", "R2", "(95", "%", "interval)", "rmse", "time"]
    assert first.endswith(".50  [.40, .60]     12.35  2.0 s")


def test_a_baseline_outside_the_candidates_comes_first() -> None:
    made = report()
    made["candidates"] = made["candidates"][1:]
    assert list(module.describe(made)) == list(module.describe(report()))


@pytest.mark.parametrize(
    ("data", "out"), [("birds", "birds"), ("birds/", "birds"), ("a.v2/", "a.v2"), ("x/birds.csv", "birds")]
)
def test_the_model_is_named_after_the_data(
    data: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("birds", "a.v2", "x"):
        Path(folder).mkdir()
    assert module.default_out(data, ".headstart") == Path(f"{out}.headstart")
    monkeypatch.chdir("birds")
    assert module.default_out(".", ".headstart") == Path("birds.headstart")
