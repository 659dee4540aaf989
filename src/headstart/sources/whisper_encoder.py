"""Whisper's encoder as an ONNX graph, straight from its weights: no PyTorch, no transformers.

Radford et al., 2022 (arXiv 2212.04356), as transformers' `WhisperEncoder` computes it: two convolutions over the
log-mel spectrogram, the second with stride 2, sinusoidal positions, pre-norm layers with exact GELU. The position table
is cut to the clip's length, so that a second of sound costs a second and not the 30 that Whisper was trained on.

Weights have CTranslate2's names: query, key and value stacked in one `linear_0`, whose key has a bias of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from headstart.errors import SourceError
from headstart.sources.base import SoundInput, Tap
from headstart.sources.graph import GraphBuilder, sound_input
from headstart.sources.torch_export import spread
from headstart.sources.weights import weight_of

RATE = 16_000
_POSITION_SAMPLES = 320  # a hop of 160 samples, halved by the second convolution
_SHORTEST = 1_600  # 0.1 s: five positions
_EPSILON = 1e-5
_MOST_LAYERS, _MOST_HEADS = 64, 64


@dataclass(frozen=True, eq=False)
class Built:
    """A graph and what is to be said of it; `parameters` are the weights that were learned."""

    model: onnx.ModelProto
    taps: tuple[Tap, ...]
    parameters: int
    input: SoundInput


def build(state: Mapping[str, NDArray[Any]], depths: int = 7) -> Built:
    """The graph `mel` (n, bands, t) -> layer0.mean, layer0.std, ...

    layer0 is the convolutions with the positions; the last layer is normalised. There are ceil(t / 2) positions.

    Args:
        state: CTranslate2's names -> floats; those outside `encoder/` are not used.
        depths: at most so many are tapped, evenly spaced, the last always among them.

    Raises:
        SourceError: a weight is missing, not finite, or has another shape.
    """
    encoder = _Encoder(state)
    tapped = spread(encoder.layers + 1, depths)
    x = encoder.embed()
    for depth in range(encoder.layers + 1):
        if depth:
            x = encoder.layer(x, f"encoder/layer_{depth - 1}")
        if depth == encoder.layers:
            x = encoder.normalise(x, "encoder/layer_norm")
        if depth in tapped:
            encoder.graph.tap_sound(x, f"layer{depth}", depth, encoder.hidden)
    how = encoder.describe()
    return Built(encoder.graph.model([sound_input(how)]), tuple(encoder.graph.taps), encoder.parameters, how)


class _Encoder:
    """The layers, each from weights of its name; sizes are those of the weights."""

    def __init__(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.graph = GraphBuilder()
        self.parameters = 0
        self._state = state
        self.hidden, self.bands, _ = self._weight("encoder/conv1/weight", None, None, 3, count=False).shape
        self.positions, _ = self._weight("encoder/position_encodings/encodings", None, self.hidden, count=False).shape
        names = (f"encoder/layer_{k}/ffn/linear_0/weight" for k in range(_MOST_LAYERS + 1))
        self.layers = next((k for k, name in enumerate(names) if name not in state), 0)
        self._heads = int(self._weight("encoder/num_heads", count=False))
        if not self.layers or not 1 <= self._heads <= _MOST_HEADS or self.hidden % self._heads:
            raise SourceError(
                f"Whisper weights: {self.layers} layers, {self.hidden} wide, {self._heads} heads: damaged"
            )

    def describe(self) -> SoundInput:
        """Windows as long as the position table allows."""
        seconds = self.positions * _POSITION_SAMPLES / RATE
        return SoundInput(rate=RATE, seconds=seconds, shortest=_SHORTEST, front="whisper", bands=self.bands)

    def embed(self) -> str:
        """(n, bands, t) -> (n, ceil(t / 2), hidden)."""
        x = self._convolve("mel", "encoder/conv1", self.bands, stride=1)
        x = self._convolve(x, "encoder/conv2", self.hidden, stride=2)
        x = self.graph.node("Transpose", x, perm=[0, 2, 1])
        table = self._weight("encoder/position_encodings/encodings", None, self.hidden, count=False)
        length = self.graph.node("Shape", x, start=1, end=2)
        position = self.graph.node(
            "Slice", self.graph.constant("positions", table[None]), self.graph.axes(0), length, self.graph.axes(1)
        )
        return self.graph.node("Add", x, position)

    def layer(self, x: str, name: str) -> str:
        """(n, t, hidden) -> (n, t, hidden): attention and feed-forward, each of the normalised input, each added."""
        attended = self._attend(self.normalise(x, f"{name}/self_attention/layer_norm"), f"{name}/self_attention")
        x = self.graph.node("Add", x, attended)
        inner = self._linear(self.normalise(x, f"{name}/ffn/layer_norm"), f"{name}/ffn/linear_0", None, self.hidden)
        inner = self.graph.node("Gelu", inner)
        return self.graph.node("Add", x, self._linear(inner, f"{name}/ffn/linear_1", self.hidden, None))

    def normalise(self, x: str, name: str) -> str:
        """Layer normalisation."""
        parts = [
            self.graph.constant(f"{name}/{p}", self._weight(f"{name}/{p}", self.hidden)) for p in ("gamma", "beta")
        ]
        return self.graph.node("LayerNormalization", x, *parts, axis=-1, epsilon=_EPSILON)

    def _attend(self, x: str, name: str) -> str:
        width, heads, size = self.hidden, self._heads, self.hidden // self._heads
        stacked = self._linear(x, f"{name}/linear_0", 3 * width, width)  # (n, t, 3 hidden)
        self.parameters -= width  # the key's bias, which is no weight
        stacked = self.graph.node("Reshape", stacked, self.graph.axes(0, 0, 3 * heads, size))
        stacked = self.graph.node("Transpose", stacked, perm=[0, 2, 1, 3])  # (n, 3 heads, t, size)

        def part(number: int) -> str:
            bounds = self.graph.axes(number * heads), self.graph.axes((number + 1) * heads)
            return self.graph.node("Slice", stacked, *bounds, self.graph.axes(1))

        query, key, value = part(0), self.graph.node("Transpose", part(1), perm=[0, 1, 3, 2]), part(2)
        scaled = self.graph.node("Mul", query, self.graph.constant("scale", size**-0.5))
        weights = self.graph.node("Softmax", self.graph.node("MatMul", scaled, key), axis=-1)  # (n, heads, t, t)
        mixed = self.graph.node("Transpose", self.graph.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        mixed = self.graph.node("Reshape", mixed, self.graph.axes(0, 0, width))
        return self._linear(mixed, f"{name}/linear_1", width, width)

    def _convolve(self, x: str, name: str, inputs: int, stride: int) -> str:
        weight = self.graph.constant(f"{name}/weight", self._weight(f"{name}/weight", self.hidden, inputs, 3))
        bias = self.graph.constant(f"{name}/bias", self._weight(f"{name}/bias", self.hidden))
        return self.graph.node(
            "Gelu", self.graph.node("Conv", x, weight, bias, kernel_shape=[3], strides=[stride], pads=[1, 1])
        )

    def _linear(self, x: str, name: str, outputs: int | None, inputs: int | None) -> str:
        weight = self._weight(f"{name}/weight", outputs, inputs)
        bias = self._weight(f"{name}/bias", weight.shape[0])
        product = self.graph.node("MatMul", x, self.graph.constant(f"{name}/weight", weight.T))
        return self.graph.node("Add", product, self.graph.constant(f"{name}/bias", bias))

    def _weight(self, name: str, *shape: int | None, count: bool = True) -> NDArray[np.float32]:
        array = weight_of(self._state, name, shape, "Whisper", "a Whisper model")
        if count and (array.dtype.kind != "f" or not np.isfinite(array).all()):
            raise SourceError(
                f"Whisper weights: {name} is {array.dtype}, or has numbers that are not finite: float wanted"
            )
        self.parameters += array.size if count else 0
        return array.astype(np.float32)
