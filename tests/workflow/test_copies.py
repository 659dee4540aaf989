"""Copies of one item are on one side of every split, so that nobody is tested on what was learned."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.data.dataset import Dataset
from headstart.tasks import Target
from headstart.workflow import FitOptions, fit
from headstart.workflow.copies import copies


@pytest.fixture
def sourceless(monkeypatch):
    """No source is installed: what is learned is learned from the texts, or from what describes the files."""
    monkeypatch.setattr("headstart.sources.catalogue.default_sources", lambda modality: ())


def dataset(items, modality="text", **more):
    y = np.arange(len(items)) % 2
    ids = tuple(f"row {i}" for i in range(len(items)))
    return Dataset(name="t", modality=modality, items=items, ids=ids, target=Target("binary", y, ("a", "b")), **more)


def test_copies_share_a_code_and_are_said():
    codes, said = copies(dataset(["one", "two", "one", "three", "two", "one"]), None, None)
    assert codes.tolist() == [0, 1, 0, 2, 1, 0]
    assert "3 items are copies of another, as row 2 is of row 0" in said


def test_files_are_copies_where_what_describes_them_is():
    rows = np.array([[1, 2], [1, 2], [3, 4]], np.float16)
    codes, said = copies(dataset(["a.png", "b.png", "c.png"], "image"), None, rows)
    assert codes.tolist() == [0, 0, 1]
    assert "1 item is a copy of another, as row 1 is of row 0" in said


@pytest.mark.parametrize(
    ("items", "more"),
    [
        (["one", "two", "three"], {}),
        (["one", "one"], {}),
        (["one", "one", "two"], {"groups": np.array([0, 1, 2])}),
        (["one", "one", "two"], {"times": np.array([0.0, 1.0, 2.0]), "time": "when"}),
    ],
    ids=["no copies", "all copies of one", "groups of the user's own", "times"],
)
def test_nothing_is_kept_together_where_there_is_nothing_to_keep(items, more):
    assert copies(dataset(items, **more), None, None) == (None, "")


def test_rows_of_a_table_may_recur():
    assert copies(dataset(np.zeros((4, 2)), "table", columns=("a", "b")), None, None) == (None, "")


def test_labels_at_random_are_not_learned_from_copies(sourceless, tmp_path):
    """Each text four times, its label at random: who splits copies sees 100 %, and nobody can know better than half."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefghijklmnop"), 12)) for _ in range(60)]
    labels = rng.permutation(np.repeat(["no", "yes"], 30))
    table = pd.DataFrame({"text": np.repeat(texts, 4), "label": np.repeat(labels, 4)})
    report = fit(table, FitOptions(out=tmp_path / "m.headstart")).report
    assert report["groups"] is None
    assert any("180 items are copies" in note for note in report["notes"])
    assert max(one["metrics"]["accuracy"]["value"] for one in report["candidates"]) < 0.75


def test_copies_of_images_under_other_names(sourceless, tmp_path):
    rng = np.random.default_rng(0)
    for k in range(24):
        pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        folder = tmp_path / "data" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(3):
            Image.fromarray(pixels).save(folder / f"{k}-{copy}.png")
    report = fit(tmp_path / "data", FitOptions(out=tmp_path / "m.headstart")).report
    assert any("48 items are copies" in note for note in report["notes"])
    assert max(one["metrics"]["accuracy"]["value"] for one in report["candidates"]) < 0.85
