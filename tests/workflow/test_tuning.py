"""Moving weights from end to end: what ships, what is said, and what is left where something goes wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys

import numpy as np
import pytest

import headstart as hs
from headstart.cli.main import main
from headstart.errors import EngineError, StorageError
from headstart.progress import Silent
from headstart.workflow import FitOptions, fit
from headstart.workflow import tuning as module

from .conftest import Opener


class Ear(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


pytestmark = pytest.mark.usefixtures("quick")  # three folds


@pytest.fixture
def run(corners, blind, tmp_path):
    """run(budget=..., strategies=...): a fit of the corners with the blind source; its result, and what was said."""

    def fit_corners(data=corners, **options):
        ear = Ear()
        options = {"out": tmp_path / "m.headstart", "sources": (str(blind),), **options}
        return fit(data, FitOptions(**options), ear), ear.said

    return fit_corners


def test_a_budget_moves_weights_after_the_first_model_is_saved(run, register, corners):
    register(Opener())
    result, said = run(budget=60.0)
    report = json.loads(json.dumps(result.report, allow_nan=False))
    assert report["chosen"] == {"source": "blind", "strategy": "opener"}
    (saved,) = [line for line in said if "; trying more until " in line]
    assert saved.startswith(f"saved {result.path}")
    assert said.index(saved) < min(i for i, line in enumerate(said) if line.startswith("plan 1: "))
    assert report["plan"][-1]["outcome"].endswith(", ships")
    assert set(report["plan"][0]) == {"step", "candidate", "reason", "seconds", "outcome"}
    tuned = next(one for one in report["candidates"] if one["strategy"] == "opener")
    assert tuned["metrics"]["accuracy"]["value"] > 0.95
    assert tuned["reading"] == {"epoch": 2, "blend": 1.0, "head": "own"}
    assert (
        max(one["metrics"]["accuracy"]["value"] for one in report["candidates"] if one is not tuned) < 0.9
    )  # neighbours help where nothing linear does
    assert report["moved"]["parameters"] == report["moved"]["of"] == 48
    assert report["moved"]["strategy"] == "opener"
    assert report["lineage"][0]["name"] == "blind"
    assert any(note == "blind · opener: a smaller batch" for note in report["notes"])
    assert report["verdict"]["transfer_helps"] is True
    assert report["estimate"]["value"] <= report["estimate"]["naive"]
    model = hs.load(result.path)
    assert model.evaluate(corners)["metrics"]["accuracy"]["value"] > 0.95
    assert model.evidence["plan"][-1]["outcome"].endswith(", ships")
    assert "seconds" not in model.evidence["plan"][0]


def test_a_named_strategy_is_tried_without_a_budget_and_gives_the_same_bytes(run, register, tmp_path):
    register(Opener())
    one, said = run(strategies=("opener",))
    assert [step["reason"] for step in one.report["plan"]] == ["asked for"]
    assert f"saved {one.path}; trying opener" in said
    two, _ = run(strategies=("opener",), out=tmp_path / "again.headstart")
    three, _ = run(strategies=("opener",), out=tmp_path / "uncached.headstart", cache=False)
    assert one.path.read_bytes() == two.path.read_bytes() == three.path.read_bytes()


def test_without_either_nothing_moves_and_the_way_is_said(run, register):
    opener = Opener()
    register(opener)
    result, _ = run()
    assert opener.calls == 0
    assert result.report["plan"] == []
    assert result.report["moved"] is None
    (note,) = [note for note in result.report["notes"] if "--budget 5m" in note]
    assert "pip install" not in note


def test_without_torch_the_line_to_install_is_said(run, register, monkeypatch):
    register(Opener())
    monkeypatch.setattr(module, "has", lambda package: package != "torch")
    result, _ = run()
    (note,) = [note for note in result.report["notes"] if "--budget 5m" in note]
    assert "pip install 'headstart[torch]'" in note
    register(Opener(refuses="it needs torch, which is not installed: pip install 'headstart[torch]'"))
    result, said = run(budget=60.0)
    assert result.report["plan"] == []
    assert any("pip install 'headstart[torch]'" in line for line in said)


def test_only_frozen_strategies_move_nothing_whatever_the_budget(run, register):
    opener = Opener()
    register(opener)
    result, _ = run(budget=60.0, strategies=("frozen-ridge",))
    assert opener.calls == 0
    assert not any("--budget" in note for note in result.report["notes"])


def test_what_does_not_help_is_not_shipped_and_stands_in_the_evidence(run, register):
    register(Opener(useful=False))
    result, _ = run(strategies=("opener",))
    assert result.report["chosen"]["strategy"] != "opener"
    assert "opener" in [one["strategy"] for one in result.report["candidates"]]
    assert result.report["plan"][0]["outcome"].endswith("not enough to ship")
    assert hs.load(result.path).evidence["plan"][0]["outcome"].endswith("not enough to ship")


def test_a_strategy_that_fails_leaves_the_first_model(run, register):
    register(Opener(name="broken", raises=EngineError("an operator cannot be trained")), Opener())
    result, said = run(strategies=("broken", "opener"))
    assert result.report["chosen"]["strategy"] == "opener"
    assert any("broken" in line and "an operator cannot be trained" in line for line in said)
    assert result.report["plan"][0]["outcome"] == "left out: an operator cannot be trained"


@pytest.mark.parametrize("how", [{"budget": 60.0}, {"strategies": ("broken", "opener")}])
def test_a_plug_in_that_breaks_before_the_first_model_costs_nothing_else(run, register, how):
    """It is asked whether it can serve before anything is saved."""

    class Broken(Opener):
        def reason_not(self, job):
            raise AttributeError("'NoneType' object has no attribute 'x'")

    register(Broken(name="broken"), Opener())
    result, said = run(**how)
    assert result.report["chosen"]["strategy"] == "opener"
    failed = "internal error: AttributeError: 'NoneType' object has no attribute 'x' (please report)"
    line = f"blind: broken not tried: {failed}"
    assert line in said
    assert line in result.report["notes"]


def test_a_final_training_that_fails_leaves_the_first_model(run, register):
    opener = Opener(raises=EngineError("the loss was not a number"), when=3)
    register(opener)
    result, _ = run(strategies=("opener",))
    assert opener.calls == 4
    assert result.report["chosen"]["strategy"] != "opener"
    assert "opener" not in [one["strategy"] for one in result.report["candidates"]]
    hs.load(result.path)


def test_a_graph_that_does_not_score_as_its_training_did_is_not_shipped(run, register):
    register(Opener(wrong=1.0))
    result, _ = run(strategies=("opener",))
    assert result.report["chosen"]["strategy"] != "opener"


def test_ctrl_c_in_the_race_keeps_the_best_so_far(run, register):
    register(Opener(), Opener(name="stopped", raises=KeyboardInterrupt()))
    result, _ = run(strategies=("opener", "stopped"))
    assert result.interrupted
    assert result.report["chosen"]["strategy"] == "opener"
    assert result.report["plan"][-1]["outcome"] == "interrupted"
    assert hs.load(result.path).evidence["plan"][-1]["outcome"] == "interrupted"


def test_ctrl_c_before_anything_better_keeps_the_first_model(run, register):
    register(Opener(raises=KeyboardInterrupt(), when=1))
    result, _ = run(budget=60.0)
    assert result.interrupted
    assert result.report["moved"] is None
    hs.load(result.path)


def test_ctrl_c_is_an_exit_code_and_a_line(register, corners, blind, tmp_path, capsys):
    register(Opener(raises=KeyboardInterrupt(), when=1))
    out = tmp_path / "m.headstart"
    arguments = ["fit", str(corners), "--source", str(blind), "--strategy", "opener", "--out", str(out), "--json"]
    assert main(arguments) == 130
    printed = capsys.readouterr()
    assert json.loads(printed.out)["plan"][-1]["outcome"] == "interrupted"
    assert "interrupted: the best model so far was kept; the same command goes on from there" in printed.err
    hs.load(out)


def test_the_folder_of_trainings_is_the_same_on_a_rerun(run, register, home):
    seen = []

    class Keeper(Opener):
        def learn(self, job, train, test, readings):
            seen.append(job.folder)
            return super().learn(job, train, test, readings)

    register(Keeper())
    run(strategies=("opener",))
    run(strategies=("opener",), seed=1)
    assert len(set(seen)) == 1
    assert seen[0].is_relative_to(home / "trainings")
    run(strategies=("opener",), cache=False)
    assert len(set(seen)) == 2
    assert not seen[-1].is_relative_to(home)


def test_a_full_disk_keeps_the_model_that_was_saved(run, register, monkeypatch, tmp_path):
    opener = Opener()
    register(opener)
    first, _ = run()
    sync = os.fsync

    def full_later(descriptor):
        if opener.calls > 3:  # the folds and the training on everything are done
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full_later)
    result, said = run(strategies=("opener",))
    assert result.report["chosen"]["strategy"] != "opener"
    assert any(line.startswith("plan 1: ") and "left out: " in line for line in said)
    assert any("the file lacks the last of the evidence" in note for note in result.report["notes"])
    monkeypatch.undo()
    assert hs.load(result.path).evidence["chosen"] == first.report["chosen"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.headstart"]


def test_a_full_disk_in_training_is_said(run, register):
    register(Opener(raises=StorageError("the activations cannot be written: no space left")))
    result, _ = run(strategies=("opener",))
    assert result.report["plan"][0]["outcome"].startswith("left out: the activations cannot be written")


def test_a_class_with_one_example(run, register, corners, tmp_path):
    data = shutil.copytree(corners, tmp_path / "rare" / "corners")
    (data / "once").mkdir()
    shutil.copy(next((data / "same").iterdir()), data / "once" / "x.png")
    register(Opener())
    result, _ = run(data, strategies=("opener",))
    assert result.report["classes"] == ["differ", "once", "same"]
    assert "opener" in [one["strategy"] for one in result.report["candidates"]]


def test_a_source_that_cannot_be_trained_is_said_and_skipped(run, register):
    register(Opener(refuses="its graph has no weights to train"))
    result, said = run(budget=60.0)
    line = "blind: opener not tried: its graph has no weights to train"
    assert line in said
    assert line in result.report["notes"]
    assert not any("trying more" in line for line in said)


def test_scratch_counts_as_no_transfer(run, register):
    register(Opener(name="scratch"))
    result, _ = run(strategies=("scratch",))
    report = result.report
    assert report["baseline"]["source"] == "none"
    assert report["baseline"]["strategy"] == "scratch-blind"
    assert report["verdict"]["transfer_helps"] is False
    assert report["chosen"]["strategy"] == "scratch-blind"
    assert report["lineage"] == []


def test_a_misspelt_strategy_is_corrected(corners, register, capsys):
    register(Opener())
    assert main(["fit", str(corners), "--strategy", "openr"]) == 2
    assert "did you mean 'opener'" in capsys.readouterr().err


def test_groups_are_respected(corners, blind, register, tmp_path):
    import pandas as pd

    paths = sorted(corners.rglob("*.png"))
    table = pd.DataFrame({
        "image": [str(p) for p in paths],
        "label": [p.parent.name for p in paths],
        "patient": [int(p.stem) // 8 for p in paths],
    })  # fmt: skip
    seen = []

    class Watcher(Opener):
        def learn(self, job, train, test, readings):
            seen.append((train, test))
            return super().learn(job, train, test, readings)

    register(Watcher())
    result = fit(table, FitOptions(sources=(str(blind),), group="patient", strategies=("opener",)))
    groups = table["patient"].to_numpy()
    folds = seen[: result.report["folds"]]
    assert all(not np.isin(groups[test], groups[train]).any() for train, test in folds)


def test_no_torch_is_imported_by_the_planner(run, register):
    register(Opener())
    before = {"torch"} & set(sys.modules)
    run(budget=60.0)
    assert {"torch"} & set(sys.modules) == before
