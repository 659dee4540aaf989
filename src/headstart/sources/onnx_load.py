"""Reading an ONNX file of unknown origin: bounded, from its own folder only, ONNX's own operators only, no loops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx.inliner

from headstart.errors import SourceError, one_line

_LARGEST = (2 << 30) - 1  # a protobuf message cannot be longer
_DOMAINS = {"", "ai.onnx"}
_LOOPS = {"Loop", "Scan", "SequenceMap"}  # no exporter of a source writes them, and a file could loop for ever
# Of one value inside a graph, free axes counted as 1: a gigabyte of float32. The largest embedding tables have as many.
MOST_VALUES = 1 << 28
_MOST_NODES, _DEEPEST = 1 << 20, 64  # after local functions are expanded; how deep they may call each other
_SHAPE_SIZE = 1024  # a longer constant is not a shape


def load(path: Path) -> onnx.ModelProto:
    """The model with its weights inside, its local functions expanded, valid by onnx.checker.

    Raises:
        SourceError: it is too large, damaged, needs data outside its folder, has custom operators or loops, or makes a
            value of more than MOST_VALUES numbers.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise SourceError(f"{path} has {size:,} bytes; at most {_LARGEST:,} are read")
        model = onnx.load_model(path, load_external_data=False)
        _check_external(model, path, size)
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except SourceError:
        raise
    except Exception as error:  # protobuf, onnx and the disk each have their own
        reason = one_line(error)[:200]
        raise SourceError(f"{path} is not a valid ONNX model ({reason})") from error
    if model.functions:
        if _expanded(model) > _MOST_NODES:
            raise SourceError(f"{path} has functions that come to more than {_MOST_NODES:,} nodes: export it without")
        model = onnx.inliner.inline_local_functions(model)
    for node in _nodes(model.graph):
        if node.domain not in _DOMAINS:
            raise SourceError(
                f"{path} uses the custom operator {node.domain}.{node.op_type}; only ONNX's own are run: "
                "export the model again without custom or contributed operators"
            )
        if node.op_type in _LOOPS:
            raise SourceError(f"{path} uses {node.op_type}, which need not end: export the model again without loops")
    try:
        name, values = _largest(model)
    except Exception as error:  # shapes that contradict each other
        raise SourceError(f"{path} is not a valid ONNX model ({one_line(error)[:200]})") from error
    if values > MOST_VALUES:
        raise SourceError(f"{path} makes a value {name!r} of {values:,} numbers; at most {MOST_VALUES:,} are made")
    return model


def _expanded(model: onnx.ModelProto) -> float:
    """How many nodes there are after the local functions are expanded; infinite where one calls itself, or too deep."""
    bodies: dict[tuple[str, str], list[onnx.NodeProto]] = {}
    for function in model.functions:  # those of one name, which overload it, count as one
        bodies.setdefault((function.domain, function.name), []).extend(_with_inner(function.node))
    sizes: dict[tuple[str, str], float] = dict.fromkeys(bodies, math.inf)  # until it is known

    def size(nodes: Iterable[onnx.NodeProto]) -> float:
        return sum(sizes.get((node.domain, node.op_type), 1) for node in nodes)

    for _ in range(_DEEPEST):
        sizes |= {key: size(body) for key, body in bodies.items() if sizes[key] == math.inf}
    return size(_nodes(model.graph))


def _largest(model: onnx.ModelProto) -> tuple[str, int]:
    """The name and size of the largest value whose shape follows from the graph, free axes counted as 1.

    Shapes that the file itself states for inner values and outputs are not believed. Values inside the branches of an
    If, and those whose shape is computed from the input's numbers, are left to the engine, which fails cleanly.
    """
    small, large = [], []
    stated = {value.name for value in model.graph.input}  # old files state their weights there too
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SHAPE_SIZE:
            small.append(tensor)
        elif tensor.name not in stated:
            large.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    outputs = [onnx.ValueInfoProto(name=value.name) for value in model.graph.output]
    graph = onnx.helper.make_graph(model.graph.node, "shapes", [*model.graph.input, *large], outputs, small)
    light = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    sizes = {
        value.name: math.prod(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.output)
    }
    return max(sizes.items(), key=lambda named: named[1], default=("", 0))


def _check_external(model: onnx.ModelProto, path: Path, size: int) -> None:
    """Refuse weights in files that lie elsewhere or that are too large together."""
    folder = path.parent.resolve()
    files: set[Path] = set()
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder):
            raise SourceError(
                f"{path} keeps weights in {location!r}, outside its folder; put the file beside the model"
            )
        if not file.is_file():
            raise SourceError(f"{path} keeps weights in {location!r}, which is not in {folder}")
        files.add(file)
    total = size + sum(file.stat().st_size for file in files)
    if total > _LARGEST:
        raise SourceError(f"{path} and its weights have {total:,} bytes; at most {_LARGEST:,} are read")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor: weights, and constants in attributes, in bodies and local functions too."""
    graphs = [model.graph]
    nodes = [*_nodes(model.graph)]
    for function in model.functions:
        nodes += _with_inner(function.node)
    for node in nodes:
        for attribute in node.attribute:
            yield from (
                attribute.t,
                *attribute.tensors,
                attribute.sparse_tensor.values,
                attribute.sparse_tensor.indices,
            )
            graphs += [attribute.g, *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return _with_inner(graph.node)


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Each node, and those in its bodies."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _nodes(body)
