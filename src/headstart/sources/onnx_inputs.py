"""The inputs of an ONNX model of someone else: named as ours are, checked against its description, and tried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from headstart.errors import SourceError
from headstart.sources.base import ImageInput, SoundInput, SourceInput
from headstart.sources.graph import GraphBuilder, image_input, sound_input, token_inputs

_TOKEN_NAMES = ("input_ids", "attention_mask", "token_type_ids")
_HOPS_A_SECOND = 100  # of every front that gives a spectrogram


def rename(model: onnx.ModelProto, description: SourceInput, where: str) -> None:
    """Name the inputs, in place, as base.py says.

    Args:
        where: the file, for messages.

    Raises:
        SourceError: they are not what the description says.
    """
    if isinstance(description, ImageInput):
        _rename_image(model, description, where)
    elif isinstance(description, SoundInput):
        _rename_sound(model, description, where)
    else:
        _rename_tokens(model, where)


def examples(description: SourceInput) -> list[dict[str, NDArray[Any]]]:
    """Two items, small enough to run anywhere; of sounds whose length is free, of two lengths."""
    rng = np.random.default_rng(0)
    if isinstance(description, ImageInput):
        return [{"image": rng.standard_normal((2, 3, description.size, description.size), np.float32)}]
    if isinstance(description, SoundInput):
        return _sounds(description, rng)
    ids = rng.integers(1, 100, (2, min(description.max_tokens, 6)))
    return [{"input_ids": ids, "attention_mask": np.ones_like(ids)}]


def _sounds(how: SoundInput, rng: np.random.Generator) -> list[dict[str, NDArray[Any]]]:
    """Of about half a second and the shortest, or of the one length that there is."""
    longest = round(how.rate * how.seconds)
    samples = {min(max(how.shortest, how.rate // 2), longest), how.shortest}
    if how.front == "wave":
        return [{"wave": rng.standard_normal((2, t), np.float32)} for t in sorted(samples, reverse=True)]
    frames = {how.frames} if how.frames else {max(1, t * _HOPS_A_SECOND // how.rate) for t in samples}
    return [{"mel": rng.standard_normal((2, how.bands, t), np.float32)} for t in sorted(frames, reverse=True)]


def _rename_image(model: onnx.ModelProto, description: ImageInput, where: str) -> None:
    """Call the one input `image`; refuse another shape or type than it will be fed."""
    name, fixed = _only_input(model, 4, "(n, 3, size, size)", where)
    expected = (3, description.size, description.size)
    if any(got is not None and got != want for got, want in zip(fixed, expected, strict=True)):
        raise SourceError(f"{where} takes images of shape {fixed}; its description says {list(expected)}")
    _rename(model.graph, name, "image")
    _replace_inputs(model.graph, [image_input(description.size)])


def _rename_sound(model: onnx.ModelProto, description: SoundInput, where: str) -> None:
    """Call the one input `wave` or `mel`; a fixed length must be that of every window."""
    if description.front == "wave":
        name, fixed = _only_input(model, 2, "(n, t)", where)
        window = round(description.rate * description.seconds)
        expected: tuple[int | None, ...] = (window if description.shortest == window else None,)
    else:
        name, fixed = _only_input(model, 3, "(n, bands, frames)", where)
        expected = (description.bands, description.frames or None)
    if any(got is not None and got != want for got, want in zip(fixed, expected, strict=True)):
        raise SourceError(
            f"{where} takes sounds of shape {fixed}; its description says {list(expected)}, None being any length: for "
            "a fixed one set 'frames', or for a wave 'shortest' to all samples of 'seconds'"
        )
    _rename(model.graph, name, "wave" if description.front == "wave" else "mel")
    _replace_inputs(model.graph, [sound_input(description)])


def _only_input(model: onnx.ModelProto, rank: int, shape: str, where: str) -> tuple[str, list[int | None]]:
    """The name and sizes, after the first, of the one float32 input; None for a size that is free."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    tensor = inputs[0].type.tensor_type if inputs else None
    if len(inputs) != 1 or tensor is None or tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != rank:
        names = ", ".join(value.name for value in inputs)
        raise SourceError(f"{where} has the inputs {names}; expected one, float32 {shape}")
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    _check_batch(sizes[0], where)
    return inputs[0].name, sizes[1:]


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
