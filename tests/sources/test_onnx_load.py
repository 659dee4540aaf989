"""Graphs that would not end, or would ask for more memory than there is: refused before an engine sees them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headstart.errors import SourceError
from headstart.sources import onnx_load
from headstart.sources.onnx_load import MOST_VALUES, load

node = helper.make_node
HUGE = 10**12


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = ("m",)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of x (n, 4) -> y from nodes, and int64 or float32 constants by name."""

    def save(*nodes: onnx.NodeProto, functions: Any = (), shape: Any = ("m",), **constants: Any) -> Path:
        weights = [numpy_helper.from_array(np.asarray(constant), name) for name, constant in constants.items()]
        graph = helper.make_graph(list(nodes), "g", [value("x", shape=["n", 4])], [value("y", shape=shape)], weights)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save


BIG: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "constant of shape": ([node("ConstantOfShape", ["s"], ["y"])], {"s": [HUGE]}),
    "of several axes": ([node("ConstantOfShape", ["s"], ["y"])], {"s": [10**4] * 3}),
    "a shape that is computed": (
        [node("Mul", ["s", "s"], ["t"]), node("ConstantOfShape", ["t"], ["y"])],
        {"s": np.array([10**6])},
    ),
    "a shape that is joined": (
        [node("Concat", ["s", "s"], ["t"], axis=0), node("ConstantOfShape", ["t"], ["y"])],
        {"s": np.array([10**6])},
    ),
    "expand": ([node("Expand", ["x", "s"], ["y"])], {"s": [HUGE, 1, 4]}),
    "tile": ([node("Tile", ["x", "s"], ["y"])], {"s": [1, HUGE]}),
    "range": (
        [node("Range", ["a", "b", "c"], ["y"])],
        {"a": np.array(0), "b": np.array(HUGE), "c": np.array(1)},
    ),
    "an outer product": (
        [node("MatMul", ["a", "b"], ["z"]), node("ReduceMax", ["z"], ["y"])],
        {"a": np.ones((10**5, 1), np.float32), "b": np.ones((1, 10**5), np.float32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BIG)
def test_values_that_no_memory_holds_are_refused(saved: Callable[..., Path], kind: str) -> None:
    nodes, constants = BIG[kind]
    with pytest.raises(SourceError, match=r"makes a value '\w+' of [\d,]{14,} numbers; at most 268,435,456"):
        load(saved(*nodes, **constants))


def test_a_stated_shape_is_not_believed(saved: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=r"'y' of 1,000,000,000,000 numbers"):
        load(saved(node("Expand", ["x", "s"], ["y"]), shape=[1, 4], s=[HUGE // 4, 1, 4]))


def test_the_bound_itself_is_allowed(saved: Callable[..., Path]) -> None:
    load(saved(node("Expand", ["x", "s"], ["y"]), s=[MOST_VALUES // 4, 1, 4]))


def test_loops_are_refused(saved: Callable[..., Path]) -> None:
    body = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Identity", ["v"], ["w"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v")],
        [value("on", TensorProto.BOOL, []), value("w")],
    )
    with pytest.raises(SourceError, match="uses Loop, which need not end"):
        load(saved(node("Loop", ["", "c", "x"], ["y"], body=body), c=np.array(True)))


def calling(levels: int, calls: int, *, round_trip: bool = False) -> list[onnx.FunctionProto]:
    """Functions f0, f1, ..., each of which calls the one before it `calls` times."""
    made = []
    for level in range(levels):
        names = ["a", *(f"v{k}" for k in range(calls - 1)), "b"]
        below = f"f{level - 1}" if level else f"f{levels - 1}" if round_trip else ""
        steps = [node(below or "Relu", [i], [o], domain="own" if below else "") for i, o in pairwise(names)]
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        made.append(helper.make_function("own", f"f{level}", ["a"], ["b"], steps, opsets))
    return made


@pytest.mark.parametrize(
    "functions",
    [calling(12, 10), calling(40, 2), calling(40, 2)[::-1], calling(100, 1), calling(3, 1, round_trip=True)],
    ids=["wide", "deep", "in any order", "too deep", "round"],
)
def test_functions_that_multiply_are_not_expanded(saved: Callable[..., Path], functions: list[Any]) -> None:
    top = max(functions, key=lambda function: int(function.name[1:])).name
    with pytest.raises(SourceError, match=r"functions that come to more than|not a valid ONNX model"):
        load(saved(node(top, ["x"], ["y"], domain="own"), functions=functions))


def test_a_few_functions_are_expanded(saved: Callable[..., Path]) -> None:
    model = load(saved(node("f3", ["x"], ["y"], domain="own"), functions=calling(4, 3)))
    assert [one.op_type for one in model.graph.node].count("Relu") == 3**4
    assert onnx_load._largest(model)[1] == 4


def test_weights_that_are_stated_as_inputs_too(saved: Callable[..., Path]) -> None:
    """As files of before 2019 have them; long ones are not mistaken for a second input."""
    path = saved(node("MatMul", ["x", "w"], ["y"]), w=np.ones((4, 500), np.float32))
    model = onnx.load_model(path)
    model.graph.input.append(value("w", shape=[4, 500]))
    onnx.save(model, path)
    assert onnx_load._largest(load(path)) == ("y", 500)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.STRING])
def test_types_that_contradict_each_other_are_refused_or_left_to_the_engine(
    saved: Callable[..., Path], kind: int
) -> None:
    path = saved(node("Relu", ["x"], ["y"]))
    model = onnx.load_model(path)
    model.graph.output[0].type.tensor_type.elem_type = kind
    onnx.save(model, path)
    with suppress(SourceError):
        load(path)
