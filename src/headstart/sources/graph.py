"""A small builder of ONNX graphs, and the pooling nodes that every source ends in.

Graphs of the bundled sources are written with it straight from the weights, so that no PyTorch is needed; the provider
of ONNX files adds its pooling with it. Opset 20 (the first with Gelu), IR version 9: ONNX Runtime 1.18 and OpenVINO
2024.3, the oldest that headstart installs with, read both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from headstart.sources.base import GRAPH_FILE, SoundInput, Tap

OPSET = 20
IR_VERSION = 9
# Added to what is masked out. Far below any activation, yet finite in bfloat16 and float16 as well.
MASKED = -1e4


class GraphBuilder:
    """Nodes and constants in the making.

    Attributes:
        nodes: in order of execution.
        initialisers: each name once.
        taps: what `tap` was told, in order: the graph's outputs.
    """

    def __init__(self, prefix: str = "") -> None:
        """`prefix` keeps automatic names apart from those of a graph that the nodes are added to."""
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: dict[str, onnx.TensorProto] = {}
        self.taps: list[Tap] = []
        self._prefix = prefix
        self._mask: str | None = None
        self._penalty: str | None = None
        self._count: str | None = None

    def constant(self, name: str, value: NDArray[Any] | float | Sequence[int]) -> str:
        """The name of a constant; a second call with the same name returns the first one. Lists become int64."""
        name = self._prefix + name
        if name not in self.initialisers:
            array = np.asarray(value, np.float32 if isinstance(value, float) else None)
            self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def axes(self, *axes: int) -> str:
        """A constant int64 vector, of axes or of a shape."""
        return self.constant("axes_" + "_".join(str(axis) for axis in axes), np.array(axes, np.int64))

    def node(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        output = name or f"{self._prefix}{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def tap_positions(self, x: str, name: str, depth: int, width: int, *axes: int) -> None:
        """Mean and maximum of x over `axes`: (2, 3) of a map (n, width, h, w), 1 of patches (n, t, width)."""
        self.node("ReduceMean", x, self.axes(*axes), keepdims=0, name=f"{name}.mean")
        self.node("ReduceMax", x, self.axes(*axes), keepdims=0, name=f"{name}.max")
        self.taps += [Tap(f"{name}.mean", depth, "mean", width), Tap(f"{name}.max", depth, "max", width)]

    def token_mask(self) -> str:
        """(n, t, 1) float32, 1 for tokens and 0 for padding, from the input `attention_mask` (n, t); made once."""
        if self._mask is None:
            self._mask = self.node("Unsqueeze", self.node("Cast", "attention_mask", to=TensorProto.FLOAT), self.axes(2))
        return self._mask

    def token_penalty(self) -> str:
        """(n, t, 1) float32, 0 for tokens and MASKED for padding; made once."""
        if self._penalty is None:
            padding = self.node("Sub", self.constant("one", 1.0), self.token_mask())
            self._penalty = self.node("Mul", padding, self.constant("masked", MASKED))
        return self._penalty

    def tap_tokens(self, x: str, name: str, depth: int, width: int) -> None:
        """Mean and maximum of x (n, t, width) over the tokens that are no padding, and the first two side by side."""
        mask = self.token_mask()
        total = self.node("ReduceSum", self.node("Mul", x, mask), self.axes(1), keepdims=0)
        if self._count is None:
            self._count = self.node("ReduceSum", mask, self.axes(1), keepdims=0)  # (n, 1)
        self.node("Div", total, self._count, name=f"{name}.mean")
        shifted = self.node("Add", x, self.token_penalty())
        self.node("ReduceMax", shifted, self.axes(1), keepdims=0, name=f"{name}.max")
        leading = self.node("Slice", x, self.axes(0), self.axes(2), self.axes(1))
        self.node("Reshape", leading, self.axes(0, 2 * width), name=f"{name}.first")
        self.taps += [
            Tap(f"{name}.mean", depth, "mean", width),
            Tap(f"{name}.max", depth, "max", width),
            Tap(f"{name}.first", depth, "first", 2 * width),
        ]

    def tap_sound(self, x: str, name: str, depth: int, width: int) -> None:
        """Mean and standard deviation of x (n, t, width) over its positions."""
        mean = self.node("ReduceMean", x, self.axes(1), keepdims=1)
        self.node("Squeeze", mean, self.axes(1), name=f"{name}.mean")
        off = self.node("Sub", x, mean)
        variance = self.node("ReduceMean", self.node("Mul", off, off), self.axes(1), keepdims=0)
        self.node("Sqrt", variance, name=f"{name}.std")
        self.taps += [Tap(f"{name}.mean", depth, "mean", width), Tap(f"{name}.std", depth, "std", width)]

    def model(self, inputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The whole graph: `inputs`, the nodes, and the taps as outputs."""
        outputs = [tap_info(tap) for tap in self.taps]
        graph = helper.make_graph(self.nodes, "headstart", list(inputs), outputs, list(self.initialisers.values()))
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="headstart")


def tap_info(tap: Tap) -> onnx.ValueInfoProto:
    """A tap as an ONNX output: float32 (n, width)."""
    return helper.make_tensor_value_info(tap.name, TensorProto.FLOAT, ["n", tap.width])


def image_input(size: int) -> onnx.ValueInfoProto:
    """`image`: float32 (n, 3, size, size)."""
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, size, size])


def token_inputs() -> list[onnx.ValueInfoProto]:
    """`input_ids` and `attention_mask`: int64 (n, t)."""
    names = ("input_ids", "attention_mask")
    return [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in names]


def sound_input(how: SoundInput) -> onnx.ValueInfoProto:
    """`wave`: float32 (n, t), or `mel`: float32 (n, bands, frames); t is free, and frames where they are not fixed."""
    if how.front == "wave":
        return helper.make_tensor_value_info("wave", TensorProto.FLOAT, ["n", "t"])
    return helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["n", how.bands, how.frames or "t"])


def untie(model: onnx.ModelProto, shared: Sequence[Collection[str]] = ()) -> None:
    """Give each vector that an exporter merged with an equal one its own values, for training to move them apart.

    An exporter leaves an Identity under the name of what it merged; biases of zeros are often all one. Matrices are
    hardly equal by chance: where they are one, the model means it.

    Args:
        shared: names of weights that are meant to be one.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 1}
    outputs = {output.name for output in graph.output}
    merged = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.input[0] in weights and node.output[0] not in outputs
    }
    one = {name: kept for name, kept in merged.items() if any(name in same and kept in same for same in shared)}
    for name, kept in merged.items():
        if name not in one:
            copy = graph.initializer.add()
            copy.CopyFrom(weights[kept])
            copy.name = name
    left = [node for node in graph.node if node.output[0] not in merged]
    for node in left:
        node.input[:] = [one.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(left)


def strip(model: onnx.ModelProto) -> None:
    """Remove, in place, what exporters write for people: notes, source paths, shapes of inner values.

    Paths of the exporting machine must not travel in a model, and equal graphs should be equal bytes.
    """
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    model.producer_name = "headstart"
    for field in ("producer_version", "model_version", "domain"):
        model.ClearField(field)  # an empty field that is set has other bytes than one that is not
    for part in (model, model.graph, *model.graph.node, *model.graph.initializer):
        part.ClearField("doc_string")
        del part.metadata_props[:]


def write(model: onnx.ModelProto, directory: Path) -> None:
    """Check a model and write it as the graph of `directory`, the same bytes for the same model."""
    data = model.SerializeToString(deterministic=True)
    onnx.checker.check_model(data)
    (directory / GRAPH_FILE).write_bytes(data)
