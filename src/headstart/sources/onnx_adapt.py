"""An ONNX model of someone else made into the graph of a source: its inputs named as ours, its outputs pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from headstart.errors import SourceError, one_line
from headstart.optional import onnxruntime
from headstart.sources.base import Modality, SourceInput, Tap
from headstart.sources.graph import GraphBuilder, strip, tap_info
from headstart.sources.onnx_inputs import examples, rename

_OPSET = 18  # the first where every reduction takes its axes as an input; older models are converted
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
    rename(model, description, where)
    feeds, *others = examples(description)
    values = _run(model, feeds, taps, where)
    for other in others:
        _check_lengths(taps, values, _run(model, other, taps, where), where)
    upgraded = _upgrade(model, where)
    if upgraded is not model and not _agree(values, _run(upgraded, feeds, taps, where)):
        raise SourceError(f"{where} gives other outputs once converted to opset {_OPSET}; export it in that opset")
    return _pool(upgraded, dict(zip(taps, values, strict=True)), description.kind, where)


def _run(model: onnx.ModelProto, feeds: dict[str, NDArray[Any]], taps: Sequence[str], where: str) -> list[NDArray[Any]]:
    """The values of `taps`, from ONNX Runtime."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        data = model.SerializeToString()
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        values: list[NDArray[Any]] = session.run(list(taps), feeds)
    except Exception as error:  # ONNX Runtime's errors share no base
        reason = one_line(error)[:200]
        raise SourceError(f"{where} cannot be run on two items ({reason})") from error
    return values


def _check_lengths(taps: Sequence[str], one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]], where: str) -> None:
    """Refuse outputs whose width varies with the length of the sound: their positions are not where they should be."""
    for name, a, b in zip(taps, one, other, strict=True):
        axis = 1 if a.ndim in (2, 4) else -1
        if a.ndim != b.ndim or a.shape[axis] != b.shape[axis]:
            raise SourceError(
                f"{where}: output {name} is {a.shape} for one length of sound and {b.shape} for another; {_EXPECTED}"
            )


def _upgrade(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model itself, or converted to the oldest opset that the pooling nodes are written in."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if opset >= _OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter raises RuntimeError and others
        reason = one_line(error)[:160]
        raise SourceError(f"{where} has opset {opset} and cannot be converted to {_OPSET} ({reason})") from error


def _agree(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.shape == b.shape and abs(a - b).max() <= _TOLERANCE * max(abs(a).max(), 1e-6) for a, b in pairs)


def _pool(
    model: onnx.ModelProto, values: dict[str, NDArray[Any]], modality: Modality, where: str
) -> tuple[onnx.ModelProto, tuple[Tap, ...]]:
    """Add pooling to outputs that need it, and make the taps the model's only outputs."""
    builder = GraphBuilder("headstart_")
    for depth, (name, value) in enumerate(values.items()):
        if value.dtype != np.float32 or not 2 <= value.ndim <= (3 if modality == "text" else 4) or len(value) != 2:
            raise SourceError(f"{where}: output {name} is {value.dtype} {value.shape} for two items; {_EXPECTED}")
        if value.ndim == 2:
            builder.taps.append(Tap(name, depth, "mean", value.shape[1]))
        elif value.ndim == 4:
            builder.tap_positions(name, name, depth, value.shape[1], 2, 3)
        elif modality == "image":
            builder.tap_positions(name, name, depth, value.shape[2], 1)
        elif modality == "sound":
            builder.tap_sound(name, name, depth, value.shape[2])
        else:
            builder.tap_tokens(name, name, depth, value.shape[2])
    graph = model.graph
    graph.node.extend(builder.nodes)
    graph.initializer.extend(builder.initialisers.values())
    strip(model)
    del graph.output[:]
    graph.output.extend(tap_info(tap) for tap in builder.taps)
    return model, tuple(builder.taps)
