"""Convolutions as processors train them fastest: as matrix products, over channels that lie first in memory.

oneDNN's backward pass of a depthwise convolution takes twenty times its forward pass. On a small map the convolution of
a channel is a matrix from input to output positions, which its kernel fills (a Toeplitz matrix); so all of them are a
batch of small products, forwards and backwards, of the kind that bfloat16 hardware is made for. They need (channels,
items, positions) in memory, in which a pointwise convolution is one product too, and nothing is ever laid out anew.

Milliseconds of CPU time forwards and backwards, 32 items, one core with native bfloat16, as torch has it in float32 and
as the sum of the products, each measured alone: 1152 channels of 7 x 7, 5 x 5 kernels: 41 and 5.6; 672 channels of
14 x 14 with stride 2: 34 and 14; 480 of 14 x 14 with stride 1: 48 and 81, so such ones stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.adapt.device import full_precision

if TYPE_CHECKING:
    from headstart.adapt.graph import GraphModule

_LARGEST = 10_000  # pairs of an input and an output position, above which products take longer than convolutions


class PointwiseConv2d(nn.Conv2d):  # type: ignore[misc]
    """A 1 x 1 convolution of stride 1 as one matrix product over the positions of all items."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h, w), in memory as `x` is: channels first of all, or last."""
        kernel = self.weight.flatten(1)  # (out, in)
        if not channels_first(x):
            return functional.linear(x.permute(0, 2, 3, 1), kernel, self.bias).permute(0, 3, 1, 2)
        n, _, h, w = x.shape
        flat = x.permute(1, 0, 2, 3).reshape(self.in_channels, -1)  # (in, n h w)
        y = kernel @ flat if self.bias is None else torch.addmm(self.bias[:, None], kernel, flat)
        return y.view(-1, n, h, w).permute(1, 0, 2, 3)


class DepthwiseConv2d(nn.Conv2d):  # type: ignore[misc]
    """A convolution of each channel by itself: products of small maps where a CPU trains, else in float32.

    Attributes:
        pads: left, right, top, bottom: of zeros, beside `padding`.
    """

    pads: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c', h', w')."""
        h, w = x.shape[2:]
        left, right, top, bottom = self.pads or (0, 0, 0, 0)
        out = [
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                (h + top + bottom, w + left + right),
                self.padding, self.dilation, self.kernel_size, self.stride, strict=True,
            )
        ]  # fmt: skip
        small = h * w * out[0] * out[1] <= _LARGEST and self.out_channels == self.in_channels
        if not (small and x.device.type == "cpu" and torch.is_grad_enabled()):  # it is the gradient that gains
            with full_precision(x.device.type):
                return super().forward(functional.pad(x.float(), self.pads) if self.pads else x.float())
        n, c = x.shape[:2]
        maps = (self.weight.flatten(1) @ self._reach(h, w).flatten(1)).view(c, h * w, -1)
        flat = x.permute(1, 0, 2, 3).reshape(c, n, h * w)
        y = torch.bmm(flat, maps) if self.bias is None else torch.baddbmm(self.bias[:, None, None], flat, maps)
        return y.view(c, n, *out).permute(1, 0, 2, 3)

    def _reach(self, h: int, w: int) -> Tensor:
        """(kernel, h w, h' w') float32: 1 where an output position reads an input one through that place of the kernel.

        The patches of maps that are 1 at one position each.
        """
        kept: dict[tuple[int, int], Tensor] = self.__dict__.setdefault("_reaches", {})
        if (h, w) not in kept:
            maps = torch.eye(h * w).view(h * w, 1, h, w)
            maps = functional.pad(maps, self.pads) if self.pads else maps
            patches = functional.unfold(maps, self.kernel_size, self.dilation, self.padding, self.stride)
            kept[h, w] = patches.transpose(0, 1).contiguous()
        return kept[h, w]


def channels_first(x: Tensor) -> bool:
    """True where (n, c, h, w) lies in memory as (c, n, h, w)."""
    return x.device.type == "cpu" and bool(x.transpose(0, 1).is_contiguous())


def hasten(graph: GraphModule) -> None:
    """Replace the children that are pointwise or depthwise convolutions, in place; they keep their parameters.

    Where there are no others, maps lie in memory as these have them.
    """
    for name, module in list(graph.named_children()):
        kind = _kind(module)
        if kind is None:
            continue
        swift = nn.utils.skip_init(
            kind,
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
            bias=module.bias is not None,
        )
        swift.weight, swift.bias = module.weight, module.bias
        swift.train(module.training)
        if kind is DepthwiseConv2d:
            swift.pads = graph.pads.pop(name, ())
        setattr(graph, name, swift)
    graph.channels_first = all(
        isinstance(m, PointwiseConv2d | DepthwiseConv2d) for m in graph.children() if isinstance(m, nn.Conv2d)
    )


def _kind(module: nn.Module) -> type[nn.Conv2d] | None:
    if type(module) is not nn.Conv2d:
        return None
    plain = module.stride == (1, 1) and module.padding in ((0, 0), "valid")
    if module.kernel_size == (1, 1) and module.groups == 1 and plain:
        return PointwiseConv2d
    return DepthwiseConv2d if module.groups == module.in_channels > 1 else None
