"""Convolutions as matrix products against torch's own, in values and in gradients."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from headstart.adapt.fast_layers import DepthwiseConv2d, PointwiseConv2d, channels_first  # noqa: E402


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    if layout == "channels first":
        return x.transpose(0, 1).contiguous().transpose(0, 1)
    return x.contiguous(memory_format=torch.channels_last)


def compare(module: nn.Conv2d, x: torch.Tensor, pads: tuple[int, ...] = ()) -> torch.Tensor:
    """Output, and gradients of the input and the parameters, equal to those of conv2d; the output."""
    x = x.detach().requires_grad_()
    reference = x.detach().clone().requires_grad_()
    got = module(x)
    given = functional.pad(reference, pads) if pads else reference
    m = module
    wanted = functional.conv2d(given, m.weight, m.bias, m.stride, m.padding, m.dilation, m.groups)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    direction = torch.randn(wanted.shape)
    leaves = [p for p in (module.weight, module.bias) if p is not None]
    mine = torch.autograd.grad((got * direction).sum(), [x, *leaves])
    theirs = torch.autograd.grad((wanted * direction).sum(), [reference, *leaves])
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    return got


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "pads", "size"),
    [
        (5, 1, 2, 1, (), (7, 7)),
        (3, 2, 1, 1, (), (7, 6)),
        (5, 2, 0, 1, (1, 2, 1, 2), (8, 8)),
        (3, 1, 2, 2, (), (5, 9)),
        (3, 1, 1, 1, (), (14, 14)),  # too large a map for products
    ],
)
def test_depthwise(layout, bias, kernel, stride, padding, dilation, pads, size) -> None:
    torch.manual_seed(0)
    module = DepthwiseConv2d(6, 6, kernel, stride, padding, dilation, groups=6, bias=bias)
    module.pads = pads
    got = compare(module, laid_out(torch.randn(3, 6, *size), layout), pads)
    assert channels_first(got) == (size != (14, 14))


def test_depthwise_with_several_outputs_a_channel() -> None:
    torch.manual_seed(0)
    compare(DepthwiseConv2d(4, 8, 3, padding=1, groups=4), torch.randn(2, 4, 5, 5))


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_keeps_the_layout(layout, bias) -> None:
    torch.manual_seed(0)
    got = compare(PointwiseConv2d(5, 8, 1, bias=bias), laid_out(torch.randn(3, 5, 4, 6), layout))
    assert channels_first(got) == (layout == "channels first")
    assert got.is_contiguous(memory_format=torch.channels_last) == (layout == "channels last")


def test_in_bfloat16_products_stay_there() -> None:
    """The small maps are products in bfloat16; torch's slow backward pass is not called."""
    torch.manual_seed(0)
    module = DepthwiseConv2d(6, 6, 5, padding=2, groups=6)
    x = torch.randn(3, 6, 7, 7, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16
    with torch.profiler.profile() as seen:
        y.float().square().sum().backward()
    assert not any("convolution" in event.key for event in seen.key_averages())
    wanted = functional.conv2d(x, module.weight, module.bias, padding=2, groups=6)
    torch.testing.assert_close(y.float(), wanted, rtol=0.05, atol=0.05)
