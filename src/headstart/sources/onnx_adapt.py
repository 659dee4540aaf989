"""An ONNX model of someone else made into the graph of a source: its inputs named as ours, its outputs pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from headstart.errors import SourceError
from headstart.sources.base import ImageInput, SourceInput, Tap
from headstart.sources.graph import GraphBuilder, image_input, strip, tap_info, token_inputs

_OPSET = 18  # the first where every reduction takes its axes as an input; older models are converted
_TOKEN_NAMES = ("input_ids", "attention_mask", "token_type_ids")
_TOLERANCE = 1e-3
_EXPECTED = "expected float32 (2, width), (2, channels, h, w) or (2, tokens, width)"


def adapt(
    model: onnx.ModelProto, description: SourceInput, taps: Sequence[str], where: str
) -> tuple[onnx.ModelProto, tuple[Tap, ...]]:
    """The graph of a source and its taps.

    Args:
        taps: names of outputs of the model, shallow first.
        where: the file, for messages.

    Raises:
        SourceError: inputs or outputs are not as onnx_file.py says, or the model cannot be run.
    """
    outputs = [output.name for output in model.graph.output]
    strangers = [name for name in taps if name not in outputs]
    if strangers:
        raise SourceError(f"{where} has no output {', '.join(strangers)}; it has {', '.join(outputs)}")
    if isinstance(description, ImageInput):
        _rename_image(model, description, where)
    else:
        _rename_tokens(model, where)
    feeds = _example(description)
    values = _run(model, feeds, taps, where)
    upgraded = _upgrade(model, where)
    if upgraded is not model and not _agree(values, _run(upgraded, feeds, taps, where)):
        raise SourceError(f"{where} gives other outputs once converted to opset {_OPSET}; export it in that opset")
    return _pool(upgraded, dict(zip(taps, values, strict=True)), isinstance(description, ImageInput), where)


def _rename_image(model: onnx.ModelProto, description: ImageInput, where: str) -> None:
    """Call the one input `image`; refuse another shape or type than it will be fed."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    tensor = inputs[0].type.tensor_type if inputs else None
    if len(inputs) != 1 or tensor is None or tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != 4:
        names = ", ".join(value.name for value in inputs)
        raise SourceError(f"{where} has the inputs {names}; expected one, float32 (n, 3, size, size)")
    fixed = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    expected = (3, description.size, description.size)
    if any(got is not None and got != want for got, want in zip(fixed[1:], expected, strict=True)):
        raise SourceError(f"{where} takes images of shape {fixed[1:]}; its description says {list(expected)}")
    _check_batch(fixed[0], where)
    _rename(graph, inputs[0].name, "image")
    _replace_inputs(graph, [image_input(description.size)])


def _rename_tokens(model: onnx.ModelProto, where: str) -> None:
    """Keep `input_ids` and `attention_mask` as inputs; `token_type_ids` become zeros made in the graph."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in weights}
    wrong = [name for name, v in inputs.items() if v.type.tensor_type.elem_type != TensorProto.INT64]
    if not set(_TOKEN_NAMES[:2]) <= inputs.keys() <= set(_TOKEN_NAMES) or wrong:
        raise SourceError(f"{where} has the inputs {', '.join(inputs)}; expected int64 {', '.join(_TOKEN_NAMES)}")
    for value in inputs.values():
        first = value.type.tensor_type.shape.dim[0] if value.type.tensor_type.shape.dim else None
        _check_batch(first.dim_value if first is not None and first.HasField("dim_value") else None, where)
    if "token_type_ids" in inputs:
        zeros = GraphBuilder("headstart_")
        zero = onnx.numpy_helper.from_array(np.zeros(1, np.int64))
        zeros.node("ConstantOfShape", zeros.node("Shape", "input_ids"), name="token_type_ids", value=zero)
        nodes = [*zeros.nodes, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
    _replace_inputs(graph, token_inputs())


def _check_batch(size: int | None, where: str) -> None:
    if size is not None:
        raise SourceError(f"{where} takes batches of exactly {size}; export it with a dynamic first axis")


def _replace_inputs(graph: onnx.GraphProto, inputs: Sequence[onnx.ValueInfoProto]) -> None:
    del graph.input[:]
    graph.input.extend(inputs)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value wherever it is read, bodies included."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                _rename(body, old, new)


def _example(description: SourceInput) -> dict[str, NDArray[Any]]:
    """Two items, small enough to run anywhere."""
    rng = np.random.default_rng(0)
    if isinstance(description, ImageInput):
        return {"image": rng.standard_normal((2, 3, description.size, description.size), np.float32)}
    ids = rng.integers(1, 100, (2, min(description.max_tokens, 6)))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _run(model: onnx.ModelProto, feeds: dict[str, NDArray[Any]], taps: Sequence[str], where: str) -> list[NDArray[Any]]:
    """The values of `taps`, from ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        data = model.SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        values: list[NDArray[Any]] = session.run(list(taps), feeds)
    except Exception as error:  # ONNX Runtime's errors share no base
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{where} cannot be run on two items ({reason})") from error
    return values


def _upgrade(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model itself, or converted to the oldest opset that the pooling nodes are written in."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if opset >= _OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter raises RuntimeError and others
        reason = " ".join(str(error).split())[:160]
        raise SourceError(f"{where} has opset {opset} and cannot be converted to {_OPSET} ({reason})") from error


def _agree(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.shape == b.shape and abs(a - b).max() <= _TOLERANCE * max(abs(a).max(), 1e-6) for a, b in pairs)


def _pool(
    model: onnx.ModelProto, values: dict[str, NDArray[Any]], images: bool, where: str
) -> tuple[onnx.ModelProto, tuple[Tap, ...]]:
    """Add pooling to outputs that need it, and make the taps the model's only outputs."""
    builder = GraphBuilder("headstart_")
    for depth, (name, value) in enumerate(values.items()):
        if value.dtype != np.float32 or not 2 <= value.ndim <= (4 if images else 3) or len(value) != 2:
            raise SourceError(f"{where}: output {name} is {value.dtype} {value.shape} for two items; {_EXPECTED}")
        if value.ndim == 2:
            builder.taps.append(Tap(name, depth, "mean", value.shape[1]))
        elif value.ndim == 4:
            builder.tap_positions(name, name, depth, value.shape[1], 2, 3)
        elif images:
            builder.tap_positions(name, name, depth, value.shape[2], 1)
        else:
            builder.tap_tokens(name, name, depth, value.shape[2])
    graph = model.graph
    graph.node.extend(builder.nodes)
    graph.initializer.extend(builder.initialisers.values())
    strip(model)
    del graph.output[:]
    graph.output.extend(tap_info(tap) for tap in builder.taps)
    return model, tuple(builder.taps)
