"""A BERT encoder as an ONNX graph, straight from its safetensors: no PyTorch, no transformers.

Devlin et al., 2018 (arXiv 1810.04805), as transformers' `BertModel` computes it: post-norm layers, exact GELU, learned
absolute positions. Token types are all zero, so their one embedding is added to the positions once, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from headstart.errors import SourceError
from headstart.sources.base import Tap
from headstart.sources.bert_config import BertConfig
from headstart.sources.graph import GraphBuilder, token_inputs

_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def build(
    state: Mapping[str, NDArray[Any]], config: BertConfig, depths: tuple[int, ...] | None = None
) -> tuple[onnx.ModelProto, tuple[Tap, ...], int]:
    """The graph, its taps, and the number of weights used.

    `input_ids`, `attention_mask` (n, t) -> layer0.mean, layer0.max, layer0.first, ..., where layer0 is the embeddings.
    A text has at least two tokens.

    Args:
        depths: the layers to tap; None for all.

    Raises:
        SourceError: a weight is missing or has another shape.
    """
    encoder = _Encoder(state, config)
    tapped = range(config.layers + 1) if depths is None else depths
    penalty = encoder.graph.node("Transpose", encoder.graph.token_penalty(), perm=[0, 2, 1])
    penalty = encoder.graph.node("Unsqueeze", penalty, encoder.graph.axes(1))  # (n, 1, 1, t)
    x = encoder.embed()
    for depth in range(config.layers + 1):
        if depth:
            x = encoder.layer(x, penalty, f"encoder.layer.{depth - 1}")
        if depth in tapped:
            encoder.graph.tap_tokens(x, f"layer{depth}", depth, config.hidden)
    return encoder.graph.model(token_inputs()), tuple(encoder.graph.taps), encoder.parameters


class _Encoder:
    """The layers, each from weights of its name."""

    def __init__(self, state: Mapping[str, NDArray[Any]], config: BertConfig) -> None:
        self.graph = GraphBuilder()
        self.config = config
        self.parameters = 0
        self._state = {_modern(name): array for name, array in state.items()}

    def embed(self) -> str:
        """(n, t) token ids -> (n, t, hidden)."""
        width = self.config.hidden
        words = self._weight("embeddings.word_embeddings.weight", self.config.vocabulary, width)
        positions = self._weight("embeddings.position_embeddings.weight", self.config.positions, width)
        types = self._weight("embeddings.token_type_embeddings.weight", None, width)
        table = self.graph.constant("embeddings.positions", (positions + types[0])[None])  # (1, positions, hidden)
        length = self.graph.node("Shape", "input_ids", start=1, end=2)
        position = self.graph.node("Slice", table, self.graph.axes(0), length, self.graph.axes(1))
        word = self.graph.node("Gather", self.graph.constant("embeddings.words", words), "input_ids")
        return self._normalise(self.graph.node("Add", word, position), "embeddings.LayerNorm")

    def layer(self, x: str, penalty: str, name: str) -> str:
        """(n, t, hidden) -> (n, t, hidden): attention and feed-forward, each added and normalised."""
        attended = self._attend(x, penalty, f"{name}.attention.self")
        attended = self._linear(attended, f"{name}.attention.output.dense")
        x = self._normalise(self.graph.node("Add", attended, x), f"{name}.attention.output.LayerNorm")
        inner = self.graph.node("Gelu", self._linear(x, f"{name}.intermediate.dense"))
        inner = self._linear(inner, f"{name}.output.dense")
        return self._normalise(self.graph.node("Add", inner, x), f"{name}.output.LayerNorm")

    def _attend(self, x: str, penalty: str, name: str) -> str:
        heads, size = self.config.heads, self.config.hidden // self.config.heads

        def split(part: str, order: list[int]) -> str:
            y = self.graph.node("Reshape", self._linear(x, f"{name}.{part}"), self.graph.axes(0, 0, heads, size))
            return self.graph.node("Transpose", y, perm=order)

        query, value = split("query", [0, 2, 1, 3]), split("value", [0, 2, 1, 3])  # (n, heads, t, size)
        key = split("key", [0, 2, 3, 1])  # (n, heads, size, t)
        scores = self.graph.node("Mul", self.graph.node("MatMul", query, key), self.graph.constant("scale", size**-0.5))
        weights = self.graph.node("Softmax", self.graph.node("Add", scores, penalty), axis=-1)  # (n, heads, t, t)
        mixed = self.graph.node("Transpose", self.graph.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.graph.node("Reshape", mixed, self.graph.axes(0, 0, heads * size))  # (n, t, hidden)

    def _linear(self, x: str, name: str) -> str:
        weight = self._weight(f"{name}.weight", None, None)  # (outputs, inputs)
        bias = self._weight(f"{name}.bias", weight.shape[0])
        product = self.graph.node("MatMul", x, self.graph.constant(f"{name}.weight", weight.T))
        return self.graph.node("Add", product, self.graph.constant(f"{name}.bias", bias))

    def _normalise(self, x: str, name: str) -> str:
        parts = [self.graph.constant(f"{name}.{p}", self._weight(f"{name}.{p}", self.config.hidden)) for p in _NORM]
        return self.graph.node("LayerNormalization", x, *parts, axis=-1, epsilon=self.config.epsilon)

    def _weight(self, name: str, *shape: int | None) -> NDArray[np.float32]:
        array = self._state.get(name)
        if array is None or array.ndim != len(shape):
            got = "missing" if array is None else f"of shape {array.shape}"
            raise SourceError(f"BERT weights: {name} is {got}; these are not the weights of a BertModel")
        if any(want is not None and want != size for want, size in zip(shape, array.shape, strict=True)):
            raise SourceError(f"BERT weights: {name} has shape {array.shape}, the configuration says {shape}")
        self.parameters += array.size
        return array.astype(np.float32)


_NORM = ("weight", "bias")


def _modern(name: str) -> str:
    """A weight's name as BertModel has it now: without the task model's prefix, without TensorFlow's names."""
    name = name.removeprefix("bert.")
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
