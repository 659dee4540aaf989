"""Models of sounds: saved, loaded and used, with a source and without; what cannot be heard is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

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

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATES = (8_000, 16_000, 22_050)


@pytest.fixture(scope="module")
def glides(tmp_path_factory) -> Path:
    """40 clips of mixed rates, lengths and channels in two class folders: glides that rise and glides that fall."""
    folder, rng = tmp_path_factory.mktemp("sounds") / "glides", np.random.default_rng(0)
    for k in range(40):
        rate = RATES[k % 3]
        time = np.arange(int(rate * rng.uniform(0.4, 2.3))) / rate
        low, high = rng.uniform(300, 600), rng.uniform(1_500, 2_500)
        first, last = (low, high) if k % 2 else (high, low)
        hertz = first + (last - first) * time / time[-1] / 2
        clip = 0.3 * np.sin(2 * np.pi * hertz * time) + rng.normal(0, 0.01, len(time))
        path = folder / ("up" if k % 2 else "down") / f"{k:02d}.{'flac' if k % 5 == 0 else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.stack([clip] * (1 + k % 2), axis=1), rate)
    return folder


@pytest.fixture(scope="module")
def ears(tmp_path_factory) -> Path:
    """An ONNX source of sounds: a convolution of random weights over log-mel frames."""
    folder = tmp_path_factory.mktemp("ears")
    weight = np.random.default_rng(1).normal(0, 0.3, (12, 16, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["mel", "w"], ["map"], pads=[1, 1]),
        helper.make_node("Relu", ["map"], ["units"]),
        helper.make_node("Transpose", ["units"], ["positions"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["n", 16, "t"])],
        [helper.make_tensor_value_info("positions", TensorProto.FLOAT, ["n", "t", 12])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "ears.onnx")
    described = {"modality": "sound", "rate": 8_000, "seconds": 1.0, "shortest": 400, "front": "whisper", "bands": 16}
    (folder / "ears.json").write_text(json.dumps(described | {"taps": ["positions"]}))
    return folder / "ears.onnx"


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
    assert any("ears hears 8,000 Hz" in note and "longer and cut" in note for note in report["notes"])
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
