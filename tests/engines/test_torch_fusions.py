"""Chains joined into one step give what the chain gives, against ONNX's reference evaluator; others are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

pytest.importorskip("torch")

import torch

from headstart.engines.torch_cuda import TorchCuda
from headstart.engines.torch_fusions import ATTENTION, attention, fused
from headstart.engines.torch_graph import steps, tensor_of

Node = tuple[str, Sequence[str], str]
SCORES = ("MatMul", ["q", "k_t"], "scores")
TAIL: list[Node] = [("Softmax", ["last"], "share"), ("MatMul", ["share", "v"], "y")]
HALF, ROOT = np.float32(0.5), np.float32(np.sqrt(2))


def graph_of(nodes: Sequence[Node], constants: dict[str, Any], outputs: Sequence[str] = ("y",)) -> onnx.ModelProto:
    made = {output for _, _, output in nodes} | set(constants)
    inputs = sorted({name for _, names, _ in nodes for name in names} - made)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (*inputs, *outputs)]
    graph = helper.make_graph(
        [
            helper.make_node(op, list(names), [output], **({"axis": -1} if op == "Softmax" else {}))
            for op, names, output in nodes
        ],
        "chain",
        info[: len(inputs)],
        info[len(inputs) :],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def operators(model: onnx.ModelProto, outputs: Sequence[str] = ("y",), start: Sequence[str] = ()) -> list[str]:
    constants = {tensor.name: tensor_of(tensor) for tensor in model.graph.initializer}
    plan = steps(model, outputs, frozenset(start))
    return [step.operator for step in fused(plan, constants, {*constants, *outputs})]


def heads(n: int, *shape: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(n)
    return {
        "q": rng.standard_normal((*shape, 5, 8)).astype(np.float32),
        "k_t": rng.standard_normal((*shape, 8, n)).astype(np.float32),
        "v": rng.standard_normal((*shape, n, 7)).astype(np.float32),
        "mask": np.where(rng.random((*shape[:1], *[1] * len(shape), n)) < 0.3, -1e4, 0).astype(np.float32),
    }


CHAINS: dict[str, tuple[list[Node], dict[str, Any]]] = {
    "plain": ([("MatMul", ["q", "k_t"], "last")], {}),
    "divided": ([SCORES, ("Div", ["scores", "root"], "last")], {"root": np.float32(3)}),
    "multiplied": ([SCORES, ("Mul", ["share_of", "scores"], "last")], {"share_of": np.array([0.4], np.float32)}),
    "masked": ([SCORES, ("Add", ["scores", "mask"], "last")], {}),
    "both": (
        [SCORES, ("Div", ["scores", "root"], "less"), ("Add", ["mask", "less"], "last")],
        {"root": np.float32(2)},
    ),
}


@pytest.mark.parametrize("shape", [(2, 3), (3,)], ids=["items and heads", "heads"])
@pytest.mark.parametrize("n", [6, 300], ids=["few keys", "many keys"])
@pytest.mark.parametrize("name", CHAINS)
def test_attention(tmp_path: Path, name: str, n: int, shape: tuple[int, ...]) -> None:
    nodes, constants = CHAINS[name]
    model = graph_of([*nodes, *TAIL], constants)
    assert operators(model) == [ATTENTION]
    onnx.save(model, str(tmp_path / "chain.onnx"))
    feeds = {one.name: heads(n, *shape)[one.name] for one in model.graph.input}
    wanted = ReferenceEvaluator(model).run(None, feeds)[0]
    got = TorchCuda("cpu").open(tmp_path / "chain.onnx", ["y"], "fp32", 1).run(feeds)[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [6, 300])
def test_gradients_of_attention(n: int) -> None:
    given = {name: torch.tensor(value, dtype=torch.float64) for name, value in heads(n, 2, 3).items()}
    trained = [given[name].requires_grad_() for name in ("q", "k_t", "v")]
    ours = attention({"scale": 0.3}, *trained, given["mask"])
    theirs = (0.3 * (given["q"] @ given["k_t"]) + given["mask"]).softmax(-1) @ given["v"]
    for mine, reference in zip(*(torch.autograd.grad(y.square().sum(), trained) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("n", [6, 300])
def test_keys_that_all_items_share(n: int) -> None:
    """Shapes that torch's own does not broadcast."""
    given = {name: torch.tensor(value) for name, value in heads(n, 2, 3).items()}
    ours = attention({"scale": 1.0}, given["q"], given["k_t"][:1], given["v"][0])
    torch.testing.assert_close(ours, (given["q"] @ given["k_t"][:1]).softmax(-1) @ given["v"][0])


@pytest.mark.parametrize("n", [6, 300])
@pytest.mark.parametrize(("items", "mask"), [((1, 3), (4, 1, 1)), ((3,), (1, 1, 5)), ((2, 3), (5,))], ids=str)
def test_any_shape_of_mask(items: tuple[int, ...], mask: tuple[int, ...], n: int) -> None:
    """One that is larger than the scores makes them as large."""
    given = {name: torch.tensor(value) for name, value in heads(n, *items).items()}
    hidden = torch.tensor(np.random.default_rng(0).standard_normal((*mask, n)), dtype=torch.float32)
    ours = attention({"scale": 0.5}, given["q"], given["k_t"], given["v"], hidden)
    theirs = (0.5 * (given["q"] @ given["k_t"]) + hidden).softmax(-1) @ given["v"]
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("n", [6, 600])
def test_an_item_that_is_all_hidden_gives_numbers(n: int) -> None:
    """In bfloat16 the least float32 is minus infinity."""
    q, k_t, v, _ = (torch.tensor(value).bfloat16() for value in heads(n, 2, 3).values())
    hidden = torch.full((2, 1, 1, n), torch.finfo(torch.float32).min)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(attention({"scale": 1.0}, q, k_t, v, hidden)).all()


def test_what_is_on_another_device_is_brought() -> None:
    """Masks are often made on the CPU from shapes; the device without values stands for a GPU."""
    q, k_t, v, _ = (torch.tensor(value, device="meta") for value in heads(6, 2, 3).values())
    assert attention({"scale": 1.0}, q, k_t, v, torch.zeros(2, 1, 1, 6)).shape == (2, 3, 5, 7)


@pytest.mark.parametrize("weight", ["q", "k_t", "v"])
def test_products_with_weights_are_layers(weight: str) -> None:
    nodes, constants = CHAINS["masked"]
    model = graph_of([*nodes, *TAIL], constants)
    plan = steps(model, ["y"])
    assert [step.operator for step in fused(plan, {}, {"y"}, {weight})] == ["MatMul", "Add", "Softmax", "MatMul"]


@pytest.mark.parametrize("kept", ["scores", "last", "share"])
def test_what_is_wanted_inside_of_a_chain_stays(kept: str) -> None:
    nodes, constants = CHAINS["divided"]
    model = graph_of([*nodes, *TAIL], constants, ["y", kept])
    assert ATTENTION not in operators(model, ["y", kept])


def test_what_is_read_twice_inside_of_a_chain_stays() -> None:
    model = graph_of([("MatMul", ["q", "k_t"], "last"), *TAIL[:1], ("MatMul", ["share", "share"], "y")], {})
    assert operators(model) == ["MatMul", "Softmax", "MatMul"]


def test_a_chain_that_is_fed_in_its_middle() -> None:
    nodes, constants = CHAINS["divided"]
    model = graph_of([*nodes, *TAIL], constants)
    assert operators(model, start=["scores"]) == ["Div", "Softmax", "MatMul"]


GELUS: dict[str, list[Node]] = {
    "half last": [
        ("Div", ["x", "root"], "a"), ("Erf", ["a"], "b"), ("Add", ["b", "one"], "c"), ("Mul", ["x", "c"], "d"),
        ("Mul", ["d", "half"], "y"),
    ],
    "half first": [
        ("Mul", ["x", "less"], "a"), ("Erf", ["a"], "b"), ("Add", ["one", "b"], "c"), ("Mul", ["half", "x"], "d"),
        ("Mul", ["d", "c"], "y"),
    ],
}  # fmt: skip
NUMBERS = {"root": ROOT, "less": 1 / ROOT, "one": np.float32(1), "half": HALF}


@pytest.mark.parametrize("name", GELUS)
def test_gelu(tmp_path: Path, name: str) -> None:
    model = graph_of(GELUS[name], NUMBERS)
    assert operators(model) == ["Gelu"]
    onnx.save(model, str(tmp_path / "chain.onnx"))
    x = np.linspace(-4, 4, 101, dtype=np.float32)
    wanted = ReferenceEvaluator(model).run(None, {"x": x})[0]
    got = TorchCuda("cpu").open(tmp_path / "chain.onnx", ["y"], "fp32", 1).run({"x": x})[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("number", "value"), [("root", 1.5), ("one", 2.0), ("half", 0.4)])
def test_other_numbers_are_no_gelu(number: str, value: float) -> None:
    model = graph_of(GELUS["half last"], NUMBERS | {number: np.float32(value)})
    assert "Gelu" not in operators(model)


def test_what_later_steps_read_is_not_freed(tmp_path: Path) -> None:
    """The chain's input is read between its first and its last step, which now are one."""
    nodes = [*GELUS["half last"][:2], ("Neg", ["x"], "n"), *GELUS["half last"][2:4], ("Mul", ["d", "half"], "g"),
             ("Add", ["g", "n"], "y")]  # fmt: skip
    model = graph_of(nodes, NUMBERS)
    assert sorted(operators(model)) == ["Add", "Gelu", "Neg"]
    onnx.save(model, str(tmp_path / "chain.onnx"))
    x = np.linspace(-4, 4, 11, dtype=np.float32)
    got = TorchCuda("cpu").open(tmp_path / "chain.onnx", ["y"], "fp32", 1).run({"x": x})[0]
    np.testing.assert_allclose(got, ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-5, atol=1e-6)
