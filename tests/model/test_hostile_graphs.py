"""A stranger's artefact whose graph asks for too much, does not end, or does not run: an ArtefactError, exit code 2."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from headstart.archive.container import write_archive
from headstart.cli.main import main
from headstart.errors import ArtefactError, StorageError
from headstart.evidence.calibration import Calibration
from headstart.model import load

onnx = pytest.importorskip("onnx")
node = onnx.helper.make_node
value = onnx.helper.make_tensor_value_info
MEAN = [node("ReduceMean", ["image", "axes"], ["m"], keepdims=0)]
VIEW = {
    "kind": "source",
    "settings": {},
    "engine": "onnxruntime",
    "precision": "fp32",
    "input": {"kind": "image", "size": 16, "mean": [0, 0, 0], "std": [1, 1, 1]},
    "taps": [{"name": "t", "depth": 0, "pooling": "mean", "width": 3}],
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def artefact(tmp_path: Path, nodes: list[Any], view: dict[str, Any] | None = None, **constants: Any) -> Path:
    """A model of images (n, 3, 16, 16) -> t (n, 3) -> two classes."""
    weights = [onnx.numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()]
    weights.append(onnx.numpy_helper.from_array(np.array([2, 3]), "axes"))
    image, t = value("image", 1, ["n", 3, 16, 16]), value("t", 1, ["n", 3])
    graph = onnx.helper.make_graph([*MEAN, *nodes], "g", [image], [t], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    card = {
        "name": "hostile", "modality": "image", "task": "binary", "classes": ["a", "b"], "columns": [],
        "views": [VIEW | (view or {})], "head": {"kind": "ridge", "settings": {}},
        "calibration": Calibration("binary", floor=-1.0, doubt=0.1).state(), "input": None, "data": {}, "versions": {},
    }  # fmt: skip
    head = {"weight": np.ones((3, 2), np.float32), "bias": np.zeros(2)}
    parts: dict[str, bytes | Path] = {
        "model.json": json.dumps(card).encode(),
        "report.json": b"{}",
        "head.safetensors": save(head),
        "view-0.onnx": model.SerializeToString(),
    }
    path = tmp_path / "m.headstart"
    write_archive(path, parts)
    return path


def endless() -> Any:
    body = onnx.helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Identity", ["v"], ["w"])],
        "body",
        [value("i", 7, []), value("go", 9, []), value("v", 1, ["n", 3])],
        [value("on", 9, []), value("w", 1, ["n", 3])],
    )
    return node("Loop", ["", "c", "m"], ["t"], body=body)


HOSTILE: dict[str, tuple[list[Any], dict[str, Any], dict[str, Any]]] = {
    "too much": ([node("ConstantOfShape", ["s"], ["z"]), node("Add", ["m", "z"], ["t"])], {}, {"s": [10**12, 3]}),
    "no end": ([endless()], {}, {"c": np.array(True)}),
    "does not open": ([node("Add", ["m", "i"], ["t"])], {}, {"i": [1, 2, 3]}),
    "does not run": ([node("Reshape", ["m", "s"], ["t"])], {}, {"s": [7, 3]}),
    "other columns": ([node("Concat", ["m", "m"], ["t"], axis=1)], {}, {}),
    "other axes": ([node("ReduceMax", ["m"], ["t"], keepdims=0)], {}, {}),
    "another tap": ([node("Relu", ["m"], ["t"])], {"taps": [VIEW["taps"][0] | {"name": "u"}]}, {}),  # type: ignore[index]
    "another size": ([node("Relu", ["m"], ["t"])], {"input": VIEW["input"] | {"size": 32}}, {}),  # type: ignore[operator]
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_what_cannot_be_run_is_refused(
    kind: str, engine: str, tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(engine)
    nodes, view, constants = HOSTILE[kind]
    path = artefact(tmp_path, nodes, {"engine": engine, **view}, **constants)
    with pytest.raises(ArtefactError):
        load(path).probabilities([picture])
    assert main(["predict", str(path), str(picture)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "headstart-" not in err, "the temporary folder is nobody's concern"
    assert "export it again" not in err


def test_the_same_with_a_graph_that_runs(tmp_path: Path, picture: Path) -> None:
    found, failures = load(artefact(tmp_path, [node("Relu", ["m"], ["t"])])).probabilities([picture])
    np.testing.assert_allclose(found, [[0.5, 0.5]])
    assert failures == {}


def test_a_full_disk_of_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = artefact(tmp_path, [node("Relu", ["m"], ["t"])])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"m\.headstart is unpacked while it is in use: .*No space.* in TMPDIR"):
        load(path)
