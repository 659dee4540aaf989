"""Models of sounds: saved, loaded and used, with a source and without; what cannot be heard is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart import registry
from headstart.cli.main import main
from headstart.engines.memory import Choice
from headstart.evidence.calibration import Calibration
from headstart.features.embed import embed
from headstart.model import load
from headstart.model.packing import write
from headstart.plan.crossfit import Fitted
from headstart.plan.views import SourceView
from headstart.sources import catalogue
from headstart.sources.catalogue import open_source
from headstart.tasks import Target
from headstart.workflow import FitOptions, fit

pytest.importorskip("soundfile")
pytest.importorskip("soxr")


def clips(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.*") if path.suffix in (".wav", ".flac"))


def test_a_fit_is_the_same_bytes_and_knows_its_clips(glides, ears, tmp_path):
    made = []
    for name in ("a", "b"):
        options = FitOptions(out=tmp_path / f"{name}.headstart", sources=(str(ears),), strategies=("frozen-ridge",))
        made.append(fit(glides, options))
    assert made[0].path.read_bytes() == made[1].path.read_bytes()  # the second has everything from the cache
    report = made[0].report
    assert report["modality"] == "sound"
    assert {one["strategy"].rsplit("-", 1)[0] for one in report["candidates"]} >= {"frozen-ridge", "logmel"}
    assert any("ears hears 8,000 Hz" in note and "longer, and cut" in note for note in report["notes"])
    model = load(made[0].path)
    found = model.predict([str(path) for path in clips(glides)])
    assert np.mean([one["label"] == path.parent.name for one, path in zip(found, clips(glides), strict=True)]) > 0.9


def test_without_a_source_the_baseline_is_saved_and_restored(glides, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "default_sources", lambda modality: ())
    made = fit(glides, FitOptions(out=tmp_path / "m.headstart"))
    assert made.report["chosen"]["strategy"] in ("logmel-ridge", "logmel-boosted-trees")
    assert made.report["baseline"]["metrics"]["accuracy"]["value"] > 0.8
    bad = tmp_path / "empty.wav"
    bad.write_bytes(b"")
    capsys.readouterr()
    assert main(["predict", str(made.path), str(clips(glides)[0]), str(bad), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["label"] in ("up", "down")
    assert "the file is empty; expected a sound" in second["error"]


def test_a_source_in_a_model_gives_the_rows_of_the_fit(glides, ears, tmp_path):
    source, paths = open_source(str(ears)), clips(glides)
    features = embed(paths, source, choice=Choice("onnxruntime", "fp32", 1, 2, 1.0))
    assert features.failures == {}
    target = Target("binary", np.array([path.parent.name == "up" for path in paths]).astype(np.int64), ("down", "up"))
    view = SourceView(features, source, source.taps, "all")
    head = registry.get("headstart.heads", "ridge").fit(view.matrix(np.arange(len(paths))), target)
    fitted = Fitted(view, head, Calibration.fit("binary", head.loo_scores, target))
    card = {
        "name": "glides", "modality": "sound", "task": "binary", "classes": target.classes, "columns": (),
        "input": None, "data": {"name": "glides", "n": 40, "seed": 0}, "versions": {},
    }  # fmt: skip
    path = tmp_path / "m.headstart"
    write(path, fitted, card, {}, {source.name: Choice("onnxruntime", "fp32", 1, 1, 1.0)})
    broken = tmp_path / "broken.flac"
    broken.write_bytes(paths[0].read_bytes()[:500])
    found, failures = load(path).probabilities([str(one) for one in [*paths, broken]])
    expected = fitted.calibration.probabilities(head.scores(view.matrix(np.arange(40))))
    np.testing.assert_allclose(found[:40], expected, atol=1e-3)
    assert list(failures) == [40]
