"""Where a graph can be cut in two: tensors above which everything trains alone, and what lies above costs.

What lies below a cut is frozen, and needs to be computed only once an item. A cut stands at the boundary of two depths
of taps: above it are exactly the weights that no tap of that depth or less has read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx

from headstart.engines.torch_support import needed, reason_not
from headstart.errors import EngineError, one_line
from headstart.optional import onnxruntime
from headstart.sources.base import Modality, SoundInput, Source, Tap

# Tokens of a text, seconds of a sound, and positions of an image where the graph does not tell, for estimates of work.
_TOKENS, _SECONDS, _POSITIONS = 16, 1.0, 49
_FRAMES_A_SECOND = 100  # of every front
_MOST_TIED = 0.01  # of all weights
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Cut:
    """A tensor to cut at.

    Attributes:
        tensor: its name in the graph.
        depth: taps up to this depth lie below.
        shape: of one item's tensor: (channels, h, w) of a map, (t, width) of tokens or of a sound's positions, with t
            that of a nominal length.
        share: of the whole graph's multiply-adds, what lies above.
        inputs: inputs of the graph that what lies above needs besides (a text's mask).
        tied: weights that are read on both sides, as of a layer that is used twice; they stay frozen.
    """

    tensor: str
    depth: int
    shape: tuple[int, ...]
    share: float
    inputs: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()


@dataclass(frozen=True)
class Anatomy:
    """What of a graph matters to training.

    Attributes:
        cuts: for a head on the last tap, the shallowest first.
        work: multiply-adds of one item, of the whole graph; of a sound of `nominal_seconds`, or of a fixed window.
        reason: why it cannot be trained, in a clause; empty where it can.
    """

    cuts: tuple[Cut, ...]
    work: float
    reason: str = ""


def last_tap(source: Source) -> Tap:
    """What heads of tuned networks read: the deepest layer, its mean over positions where there is one."""
    deepest = max(tap.depth for tap in source.taps)
    last = [tap for tap in source.taps if tap.depth == deepest]
    return next((tap for tap in reversed(last) if tap.pooling == "mean"), last[-1])


def anatomy(source: Source) -> Anatomy:
    """A source's graph as training sees it; looked at once a process.

    Raises:
        EngineError: the file cannot be read.
    """
    how = source.input
    steps = _nominal_steps(how) if isinstance(how, SoundInput) else _TOKENS
    return _anatomy(source.graph, source.fingerprint, source.modality, steps, source.taps, last_tap(source))


def nominal_seconds(how: SoundInput) -> float:
    """The length of a sound whose shapes and work are told, where the graph takes any: half a window, at most."""
    return max(min(_SECONDS, how.seconds / 2), how.shortest / how.rate)


def _nominal_steps(how: SoundInput) -> int:
    return math.ceil(nominal_seconds(how) * (how.rate if how.front == "wave" else _FRAMES_A_SECOND))


@lru_cache(maxsize=64)
def _anatomy(graph: Path, fingerprint: str, modality: Modality, steps: int, taps: tuple[Tap, ...], tap: Tap) -> Anatomy:
    try:
        model = onnx.load(str(graph))
    except Exception as error:  # a damaged file raises protobuf's own errors
        raise EngineError(f"{graph} cannot be read ({one_line(error)[:200]}); export it again") from error
    nodes = needed(model, [tap.name])
    if (reason := reason_not(model, nodes)) is not None:
        return Anatomy((), 0.0, reason)
    read = {name for node in nodes for name in node.input}
    if not read & set(weights_of(model)):
        return Anatomy((), 0.0, "the graph has no weights in floating point")
    whole = _Whole(model, tap, modality, steps)
    found = []
    for depth in sorted({one.depth for one in taps if one.depth < tap.depth}):
        below = [one.name for one in taps if one.depth <= depth]
        if (cut := whole.cut(below, depth)) is not None:
            found.append(cut)
    return Anatomy(tuple(found), whole.work)


class _Whole:
    """A graph, its weights as bits, and what a tap needs of it."""

    def __init__(self, model: onnx.ModelProto, tap: Tap, modality: Modality, steps: int) -> None:
        self._model, self._tap, self._text = model, tap, modality == "text"
        self._nodes = needed(model, [tap.name])
        self._weights = weights_of(model)
        self._bits = {name: 1 << i for i, name in enumerate(self._weights)}
        self._read: dict[str, int] = dict(self._bits)  # value -> the weights that it depends on
        for node in self._nodes:
            read = 0
            for name in node.input:
                read |= self._read.get(name, 0)
            self._read.update(dict.fromkeys(node.output, read))
        self._numbers = sum(math.prod(shape) for shape in self._weights.values())
        self._shapes = shapes_of(model, [tap.name], steps)
        # Of two sounds twice as long: where the first axis is theirs, and the second one time or of a fixed size.
        self._others = shapes_of(model, [tap.name], 2 * steps, items=2) if modality == "sound" else None
        self._work = {node.output[0]: work_of(node, self._weights, self._shapes) for node in self._nodes}
        self.work = sum(self._work.values())

    def cut(self, below: Iterable[str], depth: int) -> Cut | None:
        """The smallest tensor that has all of the weights of `below` beneath it, and none above but a few tied ones."""
        low = 0
        for node in needed(self._model, list(below)):
            for name in node.input:
                low |= self._bits.get(name, 0)
        low &= self._read[self._tap.name]
        found: list[tuple[float, int, Cut]] = []
        for position, node in enumerate(self._nodes):
            if self._read[node.output[0]] == low and len(node.output) == 1:
                cut = self._at(node.output[0], low, depth)
                if cut is not None:
                    found.append((math.prod(cut.shape), -position, cut))
        return min(found)[2] if found else None

    def _at(self, tensor: str, low: int, depth: int) -> Cut | None:
        """`tensor` as a cut; None where what lies above needs more than it."""
        shape = self._shapes.get(tensor, ())
        if len(shape) < 3 or not self._laid_out(tensor, shape):
            return None
        above = needed(self._model, [self._tap.name], [tensor])
        read = {name for node in above for name in node.input}
        tied = tuple(sorted(name for name in read if self._bits.get(name, 0) & low))
        if sum(math.prod(self._weights[name]) for name in tied) > _MOST_TIED * self._numbers:
            return None
        inputs = tuple(one.name for one in self._model.graph.input if one.name in read)
        if inputs and not self._text:  # an image again, or its shape
            return None
        share = sum(self._work[node.output[0]] for node in above) / max(self.work, 1.0)
        return Cut(tensor, depth, shape[1:], share, inputs, tied) if share else None

    def _laid_out(self, tensor: str, shape: tuple[int, ...]) -> bool:
        """True where a sound's tensor is (n, t, ...), so that windows of one length can be taken together."""
        if self._others is None:
            return True
        other = self._others.get(tensor, ())
        return len(other) == len(shape) and (shape[0], other[0]) == (1, 2) and shape[2:] == other[2:]


def shapes_of(model: onnx.ModelProto, outputs: Sequence[str], steps: int = _TOKENS, items: int = 1) -> Shapes:
    """Shapes of the values that `outputs` depend on, for `items` of `steps` tokens, frames or samples.

    The graph is run once, as shapes that hang on other shapes cannot always be inferred. Empty where it does not run.
    """
    runtime = onnxruntime()
    names = [name for node in needed(model, outputs) for name in node.output if name]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = {}
    for one in model.graph.input:
        kind = one.type.tensor_type
        sizes = [d.dim_value or (steps if axis else items) for axis, d in enumerate(kind.shape.dim)]
        feeds[one.name] = np.ones(sizes, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = runtime.InferenceSession(watched.SerializeToString(), options, ["CPUExecutionProvider"])
        values = session.run(names, feeds)
    except Exception:  # its exception types share no base but Exception; without shapes there are no cuts
        return {}
    return {name: value.shape for name, value in zip(names, values, strict=True)}


def weights_of(model: onnx.ModelProto) -> Shapes:
    """Initializer -> shape, of those that could train: floating point, and more than one number."""
    return {
        tensor.name: tuple(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type in _FLOATS and math.prod(tensor.dims) > 1
    }


def work_of(node: onnx.NodeProto, weights: Shapes, shapes: Shapes) -> float:
    """Multiply-adds of a node for one item; 0 where it has no weights to multiply with (attention's are few)."""
    kernels = [weights[name] for name in node.input if name in weights and len(weights[name]) > 1]
    if not kernels or node.op_type not in ("Conv", "MatMul", "Gemm"):
        return 0.0
    shape = shapes.get(node.output[0])
    if node.op_type == "Conv":  # the kernel (out, in / groups, ...) at every position of the result
        return math.prod(kernels[0]) * (math.prod(shape[2:]) if shape else _POSITIONS)
    positions = math.prod(shape[1:-1]) if shape else _TOKENS
    return float(math.prod(kernels[0]) * positions)
