"""Reading an ONNX file of unknown origin: bounded, from its own folder only, ONNX's own operators only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from headstart.errors import SourceError

_LARGEST = (2 << 30) - 1  # a protobuf message cannot be longer
_DOMAINS = {"", "ai.onnx"}


def load(path: Path) -> onnx.ModelProto:
    """The model with its weights inside, its local functions expanded, valid by onnx.checker.

    Raises:
        SourceError: it is too large, damaged, needs data outside its folder, or has custom operators.
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
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path} is not a valid ONNX model ({reason})") from error
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    for node in _nodes(model.graph):
        if node.domain not in _DOMAINS:
            raise SourceError(
                f"{path} uses the custom operator {node.domain}.{node.op_type}; only ONNX's own are run: "
                "export the model again without custom or contributed operators"
            )
    return model


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
        for node in function.node:
            nodes += [node, *_inner(node)]
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
    for node in graph.node:
        yield node
        yield from _inner(node)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from _nodes(body)
