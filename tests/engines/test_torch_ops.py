"""Operators beyond those of the contract's graphs, one by one against ONNX's reference evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

pytest.importorskip("torch")

from headstart.engines.torch_cuda import TorchCuda
from headstart.engines.torch_ops import OPERATIONS
from headstart.engines.torch_support import OPERATORS, SEVERAL
from headstart.errors import EngineError

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "count_include_pad": 1}),
    ("BatchNormalization", [*np.random.default_rng(1).uniform(0.5, 2, (4, 4)).astype(np.float32)], {}),
    ("Clip", [np.float32(-0.5)], {}),
    ("Conv", [np.ones((4, 2, 3, 3), np.float32)], {"group": 2, "pads": [1, 1, 1, 1], "dilations": [2, 2]}),
    ("CumSum", [np.array(3)], {}),
    ("Erf", [], {}),
    ("Expand", [np.array([3, 1, 1, 1, 6])], {}),
    ("Flatten", [], {"axis": 2}),
    ("Gather", [np.array([[0, -1], [2, 1]])], {"axis": 1}),
    ("GlobalAveragePool", [], {}),
    ("HardSigmoid", [], {"alpha": 0.3}),
    ("LeakyRelu", [], {"alpha": 0.2}),
    ("LogSoftmax", [], {"axis": 1}),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]}),
    ("Max", [np.float32(0.1), np.float32(0.2)], {}),
    ("Pad", [np.array([0, 0, 1, 0, 0, 0, 2, 1]), np.float32(1.5)], {}),
    ("Pow", [np.float32(2)], {}),
    ("ReduceL2", [np.array([-1])], {}),
    ("ReduceMin", [np.array([2, 3])], {"keepdims": 0}),
    ("ReduceMean", [], {}),
    ("Reshape", [np.array([0, -1, 9])], {}),
    ("Slice", [np.array([1, -3]), np.array([100, 5]), np.array([1, 3]), np.array([2, 1])], {}),
    ("Softmax", [], {"axis": 1}),
    ("Transpose", [], {}),
    ("Unsqueeze", [np.array([-1, 0])], {}),
]  # fmt: skip


def write(path: Path, operator: str, extra: list[Any], attributes: dict[str, Any], opset: int = 18) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(np.asarray(value), f"c{i}") for i, value in enumerate(extra)]
    node = helper.make_node(operator, ["x", *[c.name for c in constants]], ["y"], **attributes)
    shape = [["n", 4, 6, 6], None]
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape[1])], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(model, str(path))
    return model


@pytest.mark.parametrize(("operator", "extra", "attributes"), CASES, ids=[f"{c[0]}{i}" for i, c in enumerate(CASES)])
def test_an_operator(tmp_path: Path, operator: str, extra: list[Any], attributes: dict[str, Any]) -> None:
    model = write(tmp_path / "one.onnx", operator, extra, attributes)
    wanted = ReferenceEvaluator(model).run(None, {"x": X})[0]
    got = TorchCuda("cpu").open(tmp_path / "one.onnx", ["y"], "fp32", 1).run({"x": X})[0]
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_the_names_told_without_torch_are_those_of_the_functions() -> None:
    assert set(OPERATIONS) == OPERATORS
    assert SEVERAL <= OPERATORS


@pytest.mark.parametrize("sizes", [None, [3, 2, 1]])
def test_split_gives_each_part(tmp_path: Path, sizes: list[int] | None) -> None:
    constants = [numpy_helper.from_array(np.array(sizes), "sizes")] if sizes else []
    attributes = {} if sizes else {"num_outputs": 3}
    node = helper.make_node("Split", ["x", *[c.name for c in constants]], ["a", "b", "c"], axis=2, **attributes)
    sum_ = helper.make_node("ReduceSum", ["c"], ["y"], keepdims=0)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "b", "y")]
    graph = helper.make_graph([node, sum_], "parts", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(tmp_path / "parts.onnx"))
    wanted = ReferenceEvaluator(model).run(["b", "y"], {"x": X})
    got = TorchCuda("cpu").open(tmp_path / "parts.onnx", ["b", "y"], "fp32", 1).run({"x": X})
    for one, reference in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, reference, rtol=1e-5, atol=1e-5)


def test_one_side_of_a_shape(tmp_path: Path) -> None:
    """A number without axes, gathered from a vector: exported transformers reshape by it."""
    constant = numpy_helper.from_array(np.array(0), "zero")
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "sides", info[:1], info[1:], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), str(tmp_path / "one.onnx"))
    (got,) = TorchCuda("cpu").open(tmp_path / "one.onnx", ["y"], "fp32", 1).run({"x": X})
    np.testing.assert_allclose(got, 2 * X, rtol=1e-6)


def test_an_operator_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "one.onnx", "Sin", [], {})
    with pytest.raises(EngineError, match="no operator Sin"):
        TorchCuda("cpu").open(tmp_path / "one.onnx", ["y"], "fp32", 1)


def test_an_old_opset_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "one.onnx", "Softmax", [], {}, opset=11)
    with pytest.raises(EngineError, match="opset 11"):
        TorchCuda("cpu").open(tmp_path / "one.onnx", ["y"], "fp32", 1)


def test_without_a_gpu_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.engines.torch_cuda.gpu_present", lambda: False)
    engine = TorchCuda()
    assert "no GPU" in str(engine.unavailable())
    with pytest.raises(EngineError, match="no GPU"):
        engine.open(Path("graph.onnx"), ["y"], "fp32", 1)
