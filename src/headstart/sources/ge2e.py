"""A GE2E speaker encoder as an ONNX graph, straight from its weights: no PyTorch.

Wan et al., 2018 (arXiv 1710.10467), as Resemblyzer has it: LSTM layers over 40 mel bands; the last layer's state at the
last frame goes through a linear layer with ReLU, and is divided by its length: the utterance's embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from headstart.sources.base import SoundInput, Tap
from headstart.sources.graph import GraphBuilder, sound_input
from headstart.sources.weights import weight_of

_TINY = 1e-12  # below any length of an embedding: where ReLU leaves nothing, the embedding is zero
_ONNX_GATES = (0, 3, 1, 2)  # PyTorch has input, forget, cell, output; ONNX input, output, forget, cell


def build(state: Mapping[str, NDArray[Any]], how: SoundInput) -> tuple[onnx.ModelProto, tuple[Tap, ...], int]:
    """The graph, its taps, and the number of weights used.

    `mel` (n, bands, t) -> lstm1.mean, lstm1.std, ..., and `embedding`, the deepest.

    Args:
        state: `torch.nn.LSTM`'s names after "lstm.", and "linear.weight", "linear.bias".
        how: says how many bands there are.

    Raises:
        SourceError: a weight is missing or has another shape.
    """
    weights = _Weights(state)
    graph = GraphBuilder()
    x = graph.node("Transpose", "mel", perm=[2, 0, 1])  # (t, n, bands)
    inputs, depth = how.bands, 0
    while f"lstm.weight_ih_l{depth}" in state or not depth:
        x, inputs = _add_lstm(graph, weights, x, depth, inputs), weights.hidden
        depth += 1
        graph.tap_sound(graph.node("Transpose", x, perm=[1, 0, 2]), f"lstm{depth}", depth - 1, weights.hidden)
    last = graph.node("Squeeze", graph.node("Gather", x, graph.axes(-1), axis=0), graph.axes(0))  # (n, hidden)
    outputs = weights.take("linear.weight", None, weights.hidden).shape[0]
    matrix = graph.constant("linear.weight", weights.used["linear.weight"].T)
    bias = graph.constant("linear.bias", weights.take("linear.bias", outputs))
    raw = graph.node("Relu", graph.node("Add", graph.node("MatMul", last, matrix), bias))
    length = graph.node("ReduceL2", raw, graph.axes(1), keepdims=1)
    graph.node("Div", raw, graph.node("Max", length, graph.constant("tiny", _TINY)), name="embedding")
    graph.taps.append(Tap("embedding", depth, "mean", outputs))
    parameters = sum(array.size for array in weights.used.values())
    return graph.model([sound_input(how)]), tuple(graph.taps), parameters


def _add_lstm(graph: GraphBuilder, weights: _Weights, x: str, number: int, inputs: int) -> str:
    """(t, n, inputs) -> (t, n, hidden): one layer, its gates in ONNX's order."""
    hidden = weights.hidden

    def gates(name: str, *shape: int) -> NDArray[np.float32]:
        blocks = np.split(weights.take(f"lstm.{name}_l{number}", 4 * hidden, *shape), 4)
        return np.concatenate([blocks[k] for k in _ONNX_GATES])

    parts = {
        "W": gates("weight_ih", inputs),
        "R": gates("weight_hh", hidden),
        "B": np.concatenate([gates("bias_ih"), gates("bias_hh")]),
    }
    constants = [graph.constant(f"lstm{number + 1}.{name}", array[None]) for name, array in parts.items()]
    y = graph.node("LSTM", x, *constants, hidden_size=hidden)  # (t, 1, n, hidden)
    return graph.node("Squeeze", y, graph.axes(1))


class _Weights:
    """Weights by name, checked as they are taken.

    Attributes:
        hidden: the width of the LSTM.
        used: what was taken.
    """

    def __init__(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._state = state
        self.used: dict[str, NDArray[np.float32]] = {}
        self.hidden = self.take("lstm.weight_hh_l0", None, None).shape[1]

    def take(self, name: str, *shape: int | None) -> NDArray[np.float32]:
        array = weight_of(self._state, name, shape, "GE2E", "a speaker encoder")
        self.used[name] = array.astype(np.float32)
        return self.used[name]
