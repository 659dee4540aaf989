"""EfficientNet-Lite as an ONNX graph, straight from its weights: no PyTorch, no timm.

The architecture is EfficientNet (Tan and Le, 2019, arXiv 1905.11946) without squeeze-and-excitation, with ReLU6, and
with stem and head that do not scale: the `lite` models of the TensorFlow TPU repository. Two details decide whether
the weights work: padding is TensorFlow's 'SAME' (the odd row goes to the bottom and the right), and batch
normalisation has epsilon 1e-3. It is folded into the convolution before it:

    g (W x - m) / sqrt(v + e) + b  =  (s W) x + (b - m s),   s = g / sqrt(v + e)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from headstart.errors import SourceError
from headstart.sources.base import Tap
from headstart.sources.graph import GraphBuilder, image_input

_EPSILON = 1e-3
_STEM, _HEAD = 32, 1280


@dataclass(frozen=True)
class Variant:
    """A size of the family: input pixels, width and depth multipliers."""

    size: int
    width: float
    depth: float


VARIANTS = {
    "efficientnet_lite0": Variant(224, 1.0, 1.0),
    "efficientnet_lite1": Variant(240, 1.0, 1.1),
    "efficientnet_lite2": Variant(260, 1.1, 1.2),
}


@dataclass(frozen=True)
class _Stage:
    """A run of inverted residual blocks; `fixed` stages do not grow with the depth multiplier."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int
    fixed: bool = False


_STAGES = (
    _Stage(1, 3, 1, 1, 16, fixed=True),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320, fixed=True),
)


def build(state: Mapping[str, NDArray[Any]], variant: Variant) -> tuple[onnx.ModelProto, tuple[Tap, ...]]:
    """The graph `image` (n, 3, size, size) -> stage1.mean, stage1.max, ..., stage7.max, head.mean, head.max.

    Args:
        state: the weights in the order of the layers; names do not matter. The classifier at the end is not used.

    Raises:
        SourceError: the weights are not those of this variant.
    """
    trunk = _Trunk(state, variant.size)
    x = trunk.convolve("image", 3, _STEM, kernel=3, stride=2, name="stem")
    channels = _STEM
    for number, stage in enumerate(_STAGES, 1):
        width = _round_channels(stage.channels * variant.width)
        blocks = stage.blocks if stage.fixed else math.ceil(stage.blocks * variant.depth)
        for block in range(blocks):
            stride = stage.stride if block == 0 else 1
            x = _add_block(trunk, x, channels, width, stage, stride, f"stage{number}.block{block + 1}")
            channels = width
        trunk.graph.tap_positions(x, f"stage{number}", number, width, 2, 3)
    x = trunk.convolve(x, channels, _HEAD, kernel=1, name="conv_head")
    trunk.graph.tap_positions(x, "head", len(_STAGES) + 1, _HEAD, 2, 3)
    return trunk.graph.model([image_input(variant.size)]), tuple(trunk.graph.taps)


def _add_block(trunk: _Trunk, x: str, channels: int, width: int, stage: _Stage, stride: int, name: str) -> str:
    """An inverted residual block: expand 1x1, depthwise kxk, project 1x1 without activation, add where shapes allow."""
    entry, inner = x, channels * stage.expansion
    if stage.expansion > 1:
        x = trunk.convolve(x, channels, inner, kernel=1, name=f"{name}.expand")
    x = trunk.convolve(x, 1, inner, kernel=stage.kernel, stride=stride, groups=inner, name=f"{name}.depthwise")
    x = trunk.convolve(x, inner, width, kernel=1, activation=False, name=f"{name}.project")
    if stride == 1 and channels == width:
        x = trunk.graph.node("Add", x, entry, name=f"{name}.add")
    return x


class _Trunk:
    """Takes weights one convolution at a time and keeps count of the resolution."""

    def __init__(self, state: Mapping[str, NDArray[Any]], size: int) -> None:
        self.graph = GraphBuilder()
        self._weights: Iterator[NDArray[Any]] = (a for key, a in state.items() if "num_batches_tracked" not in key)
        self._size = size

    def convolve(
        self,
        x: str,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        name: str,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> str:
        """Convolution with the next weights, their batch normalisation folded in, then ReLU6."""
        shapes = [(outputs, inputs, kernel, kernel)] + [(outputs,)] * 4
        weight, gain, bias, mean, variance = (self._next(shape, name) for shape in shapes)
        scale = gain / np.sqrt(variance + _EPSILON)
        folded = [weight * scale[:, None, None, None], bias - mean * scale]
        inputs_of_node = [
            self.graph.constant(f"{name}.{what}", array.astype(np.float32))
            for what, array in zip(("weight", "bias"), folded, strict=True)
        ]
        resolution = math.ceil(self._size / stride)
        padding = max((resolution - 1) * stride + kernel - self._size, 0)
        self._size = resolution
        before, after = padding // 2, padding - padding // 2
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "group": groups}
        y = self.graph.node("Conv", x, *inputs_of_node, pads=[before, before, after, after], name=name, **attributes)
        if not activation:
            return y
        limits = self.graph.constant("zero", 0.0), self.graph.constant("six", 6.0)
        return self.graph.node("Clip", y, *limits, name=f"{name}.relu6")

    def _next(self, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
        array = next(self._weights, None)
        if array is None or array.shape != shape:
            got = "nothing" if array is None else str(array.shape)
            raise SourceError(f"EfficientNet-Lite weights: {name} must have shape {shape}, got {got}")
        return array.astype(np.float64)


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8, never below 90 % of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
