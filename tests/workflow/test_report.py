"""The report of a fit says what its folds cannot show."""

from __future__ import annotations

import numpy as np
import pandas as pd

from headstart.workflow import FitOptions, fit


def numbers(n: int = 48) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    label = np.array(["a", "b", "c"])[np.arange(n) % 3]
    return pd.DataFrame({"x": rng.random(n) + (label == "a"), "z": rng.random(n), "label": label})


def test_classes_that_no_fold_learns_and_tests(tmp_path):
    table = numbers()
    table["patient"] = np.where(table["label"] == "c", "p0", [f"p{1 + i % 9}" for i in range(len(table))])
    report = fit(table, FitOptions(out=tmp_path / "m.headstart")).report
    assert report["unchecked"] == ["c"]
    [note] = [note for note in report["notes"] if "never learned where tested" in note]
    assert note.endswith(": c")
    report = fit(table, FitOptions(out=tmp_path / "m.headstart", group="none")).report
    assert report["unchecked"] == []
    assert not any("never learned" in note for note in report["notes"])


def test_folds_that_go_forward_in_time(tmp_path):
    report = fit(numbers().assign(when=range(48)), FitOptions(out=tmp_path / "m.headstart", time="when")).report
    assert report["time"] == {"column": "when", "never_scored": 4}
    assert report["evidence"]["items"] == 44
    [note] = [note for note in report["notes"] if note.startswith("time: ")]
    assert "later by 'when'" in note
    assert "the earliest 4 of 48 are learned from and never scored" in note
    assert fit(numbers(), FitOptions(out=tmp_path / "m.headstart")).report["time"] is None
