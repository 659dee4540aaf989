"""Steps without weights against torch's own, in values and in gradients."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from headstart.adapt.fast_operations import operation_of  # noqa: E402
from headstart.engines.torch_graph import Step  # noqa: E402

POOLINGS = {
    "ReduceMean": lambda x: x.mean((2, 3), keepdim=True),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "ReduceMax": lambda x: x.amax((2, 3), keepdim=True),
}


def channels_first(*shape: int) -> torch.Tensor:
    n, c, *rest = shape
    return torch.randn(c, n, *rest).transpose(0, 1).requires_grad_()


@pytest.mark.parametrize("operator", POOLINGS)
@pytest.mark.parametrize("keep", [0, 1])
def test_pooling(operator, keep) -> None:
    torch.manual_seed(0)
    attributes, others = {}, ()
    if operator.startswith("Reduce"):
        attributes, others = {"keepdims": keep}, (torch.tensor([2, -1]),)
    elif not keep:
        pytest.skip("it always keeps them")
    x = channels_first(3, 5, 4, 6)
    got = operation_of(Step(operator, attributes, ("x", "axes"), "y"), {})(x, *others)
    wanted = POOLINGS[operator](x)
    wanted = wanted if keep else wanted.flatten(1)
    torch.testing.assert_close(got, wanted)
    direction = torch.randn(wanted.shape)
    (mine,) = torch.autograd.grad((got * direction).sum(), x)
    (theirs,) = torch.autograd.grad((wanted * direction).sum(), x)
    torch.testing.assert_close(mine, theirs)


def test_a_reduction_over_other_axes_is_the_plain_one() -> None:
    x = channels_first(3, 5, 4, 6)
    got = operation_of(Step("ReduceMean", {"keepdims": 1}, ("x", "axes"), "y"), {})(x, torch.tensor([1, 2]))
    torch.testing.assert_close(got, x.mean((1, 2), keepdim=True))


def test_of_equal_maxima_one_gets_the_gradient() -> None:
    x = torch.ones(2, 2, 3, 3, requires_grad=True).transpose(0, 1)
    y = operation_of(Step("ReduceMax", {}, ("x", "axes"), "y"), {})(x, torch.tensor([2, 3]))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.sum((2, 3)).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert gradient.max() == 1.0


def test_bounds() -> None:
    x = torch.tensor([-1.0, 0.5, 3.0, 7.0], requires_grad=True)
    bounds = {"low": torch.tensor(0.0), "high": torch.tensor(6.0)}
    y = operation_of(Step("Clip", {}, ("x", "low", "high"), "y"), bounds)(x, *bounds.values())
    assert y.tolist() == [0.0, 0.5, 3.0, 6.0]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.tolist() == [0.0, 1.0, 1.0, 0.0]
