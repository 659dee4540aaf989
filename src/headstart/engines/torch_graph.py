"""An ONNX graph as steps that torch can run: which nodes are needed, in order, and whether torch_ops.py has them.

The CUDA engine runs such steps as they are; `headstart.adapt` makes layers with weights of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import onnx
import torch

from headstart.engines.torch_ops import OPERATIONS, SEVERAL

OLDEST_OPSET = 13  # before it, axes were attributes and Softmax flattened its input
_HOST_INTS = 64  # integer constants up to this size are shapes and axes: they stay where Python reads them


@dataclass(frozen=True, eq=False)
class Step:
    """One node: its inputs and output by name, and what may be freed once it has run."""

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    output: str
    last_use: tuple[str, ...] = ()


def reason_not(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> str | None:
    """Why torch_ops.py cannot run `nodes` of `model`, in a clause; None where it can."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        return f"the graph uses ONNX opset {opset}, needed is {OLDEST_OPSET} or later; re-export it"
    for node in nodes:
        known = node.op_type in OPERATIONS and node.domain in ("", "ai.onnx")
        if not known or (len(node.output) != 1 and node.op_type not in SEVERAL):
            return f"there is no operator {node.op_type} with {len(node.output)} outputs in torch here"
    return None


def needed(
    model: onnx.ModelProto, outputs: Collection[str], start: Collection[str] = frozenset()
) -> list[onnx.NodeProto]:
    """The nodes that `outputs` depend on, in order; what computes the tensors of `start` is not among them."""
    read = set(outputs) - set(start)
    kept = []
    for node in reversed(model.graph.node):  # nodes are sorted by execution: one pass backwards finds every ancestor
        if read.intersection(node.output):
            kept.append(node)
            read |= {name for name in node.input if name} - set(start)
    return kept[::-1]


def steps(model: onnx.ModelProto, outputs: Collection[str], start: Collection[str] = frozenset()) -> list[Step]:
    """The nodes that `outputs` depend on, in order, each with the values that nothing reads after it.

    A node of several outputs becomes a step for each of them that is read, with its "part" and the count of "parts".
    """
    found: list[Step] = []
    read = set(outputs)  # walking backwards: what later nodes read
    kept = {tensor.name for tensor in model.graph.initializer} | read
    for node in reversed(needed(model, outputs, start)):
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        several = node.op_type in SEVERAL
        for part in reversed(range(len(node.output))):
            if several and node.output[part] not in read:
                continue
            last = {name for name in node.input if name} - read - kept
            read |= {name for name in node.input if name}
            own = attributes | {"part": part, "parts": len(node.output)} if several else attributes
            found.append(Step(node.op_type, own, tuple(node.input), node.output[part], tuple(sorted(last))))
    return found[::-1]


def on_host(value: torch.Tensor) -> bool:
    """True for shapes, axes and small indices: Python reads them, so they never leave the CPU."""
    return not value.is_floating_point() and value.numel() <= _HOST_INTS


def tensor_of(proto: onnx.TensorProto) -> torch.Tensor:
    """A constant of the file as a tensor of its own."""
    return torch.from_numpy(onnx.numpy_helper.to_array(proto).copy())


def _plain(value: Any) -> Any:
    """An attribute as Python or torch has it."""
    if isinstance(value, onnx.TensorProto):
        return tensor_of(value)
    if isinstance(value, bytes):
        return value.decode()
    return value
