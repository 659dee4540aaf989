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
