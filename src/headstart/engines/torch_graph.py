"""An ONNX graph as steps that torch can run, in order.

The CUDA engine runs such steps as they are; `headstart.adapt` makes layers with weights of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
import torch

from headstart.engines.torch_support import SEVERAL, needed

_HOST_INTS = 64  # integer constants up to this size are shapes and axes: they stay where Python reads them


@dataclass(frozen=True, eq=False)
class Step:
    """One node: its inputs and output by name, and what may be freed once it has run."""

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    output: str
    last_use: tuple[str, ...] = ()


def steps(model: onnx.ModelProto, outputs: Collection[str], start: Collection[str] = frozenset()) -> list[Step]:
    """The nodes that `outputs` depend on, in order, each with the values that nothing reads after it.

    A node of several outputs becomes a step for each of them that is read, with its "part" and the count of "parts".
    """
    found: list[Step] = []
    read = set(outputs)  # walking backwards: what later nodes read
    for node in reversed(needed(model, outputs, start)):
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        several = node.op_type in SEVERAL
        for part in reversed(range(len(node.output))):
            if several and node.output[part] not in read:
                continue
            read |= {name for name in node.input if name}
            own = attributes | {"part": part, "parts": len(node.output)} if several else attributes
            found.append(Step(node.op_type, own, tuple(node.input), node.output[part]))
    return with_last_use(found[::-1], {tensor.name for tensor in model.graph.initializer} | set(outputs))


def with_last_use(plan: Sequence[Step], kept: Collection[str]) -> list[Step]:
    """The steps, each told which of its inputs no later one reads; `kept` are values that stay."""
    found, read = [], set(kept)
    for step in reversed(plan):
        inputs = {name for name in step.inputs if name}
        found.append(replace(step, last_use=tuple(sorted(inputs - read))))
        read |= inputs
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
