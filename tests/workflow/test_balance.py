"""--balance through a whole fit: the report and the lines for people name the metric that decided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headstart.cli.fit import describe
from headstart.workflow import FitOptions, fit


def test_the_report_names_what_decided(tmp_path):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [270, 30])
    table = pd.DataFrame(rng.normal(size=(300, 3)) + 1.5 * y[:, None], columns=list("abc"))
    table["label"] = np.where(y == 1, "rare", "common")
    report = fit(table, FitOptions(out=tmp_path / "rare.headstart", balance=True)).report
    assert report["metric"] == "balanced_accuracy"
    assert "points of balanced accuracy" in report["verdict"]["text"]
    chosen = next(one for one in report["candidates"] if one["strategy"] == report["chosen"]["strategy"])
    assert report["estimate"]["naive"] == pytest.approx(chosen["metrics"]["balanced_accuracy"]["value"])
    assert report["estimate"]["naive"] > 0.8
    loss = chosen["metrics"]["balanced_log_loss"]
    assert loss["low"] < loss["value"] < loss["high"]
    lines = list(describe(report))
    assert "balanced accuracy (95 % interval)  balanced log loss" in lines[0]
    unweighted = fit(table, FitOptions(out=tmp_path / "plain.headstart")).report
    assert unweighted["metric"] == "accuracy"
    assert "balanced_log_loss" not in unweighted["candidates"][0]["metrics"]
