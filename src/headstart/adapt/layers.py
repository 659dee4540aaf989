"""Which nodes of a graph are layers of torch: a convolution, a linear map, a normalisation, an embedding.

As real layers, weights are found by what knows layers by their type: LoRA (peft), weight decay, initialisation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from headstart.engines.torch_graph import Step
from headstart.errors import EngineError

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Layer:
    """A node as a layer.

    Attributes:
        module: holds the weights.
        inputs: names of what it is called with.
        holds: the module's own name of a parameter ("weight", "bias") -> the initializer it came from.
        transposed: the module's weight is the initializer's transpose.
        padding: what torch's pad is to add before the module; empty for nothing.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    holds: dict[str, str]
    transposed: bool = False
    padding: tuple[int, ...] = ()


def with_biases(steps: Sequence[Step], weights: Weights, kept: set[str]) -> list[Step]:
    """The steps, each MatMul by a weight joined with the Add of a bias after it where nothing else reads the product.

    A joined step is a MatMul with three inputs and the output of the Add. `kept` are values that must stay.
    """
    uses = uses_of(steps)
    makers = {step.output: i for i, step in enumerate(steps)}
    joined: dict[int, Step | None] = {}
    for i, step in enumerate(steps):
        if step.operator != "Add":
            continue
        for product, bias in (step.inputs, step.inputs[::-1]):
            at = makers.get(product, -1)
            maker = steps[at]
            alone = at >= 0 and uses[product] == 1 and product not in kept
            if alone and maker.operator == "MatMul" and _fits(maker, bias, weights, uses):
                joined[at] = replace(maker, inputs=(*maker.inputs, bias), output=step.output)
                joined[i] = None
                break
    found = [joined.get(i, step) for i, step in enumerate(steps)]
    return [step for step in found if step is not None]


def _fits(product: Step, bias: str, weights: Weights, uses: Counter[str]) -> bool:
    """True where x W + bias is a layer: one weight each, used nowhere else."""
    x, weight = product.inputs
    once = bias in weights and weight in weights and x not in weights and uses[bias] == uses[weight] == 1
    return once and weights[weight].ndim == 2 and weights[bias].shape == weights[weight].shape[1:]


def uses_of(steps: Sequence[Step]) -> Counter[str]:
    """How often each value is read."""
    return Counter(name for step in steps for name in step.inputs if name)


def layer_of(step: Step, weights: Weights, uses: Counter[str]) -> Layer | None:
    """The step as a layer; None where it has no weights, or shares them with another step."""
    make = _LAYERS.get(step.operator)
    if make is None or any(uses[name] > 1 for name in step.inputs if name in weights):
        return None
    return make(step, weights)


def _convolution(step: Step, weights: Weights) -> Layer | None:
    x, weight, bias = _three(step)
    if weight not in weights or (bias and bias not in weights) or x in weights:
        return None
    kernel = weights[weight]  # (out, in / groups, *size)
    kind = {3: nn.Conv1d, 4: nn.Conv2d}.get(kernel.ndim)
    if kind is None:
        return None
    a = step.attributes
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise EngineError(f"cannot be trained: Conv {step.output} has auto_pad={a['auto_pad']}; export explicit pads")
    k = kernel.ndim - 2
    pads = [0] * 2 * k if a.get("auto_pad") == "VALID" else list(a.get("pads", [0] * 2 * k))
    even = pads[:k] == pads[k:]
    groups = a.get("group", 1)
    module = nn.utils.skip_init(
        kind,
        kernel.shape[1] * groups,
        kernel.shape[0],
        tuple(kernel.shape[2:]),
        stride=tuple(a.get("strides", [1] * k)),
        padding=tuple(pads[:k]) if even else 0,
        dilation=tuple(a.get("dilations", [1] * k)),
        groups=groups,
        bias=bool(bias),
    )
    padding = () if even else tuple(side for i in reversed(range(k)) for side in (pads[i], pads[k + i]))
    return Layer(module, (x,), _holds(weight, bias), padding=padding)


def _product(step: Step, weights: Weights) -> Layer | None:
    """MatMul by a weight (in, out), with a bias where `with_biases` found one."""
    x, weight, bias = _three(step)
    if weight not in weights or weights[weight].ndim != 2 or x in weights:
        return None
    return _linear(x, weight, bias, weights, transposed=True)


def _gemm(step: Step, weights: Weights) -> Layer | None:
    x, weight, bias = _three(step)
    a = step.attributes
    plain = a.get("alpha", 1.0) == 1.0 and a.get("beta", 1.0) == 1.0 and not a.get("transA", 0)
    if not plain or weight not in weights or x in weights:
        return None
    transposed = not a.get("transB", 0)
    outputs = weights[weight].shape[1 if transposed else 0]
    if bias and (bias not in weights or weights[bias].shape != (outputs,)):
        return None
    return _linear(x, weight, bias, weights, transposed=transposed)


def _linear(x: str, weight: str, bias: str, weights: Weights, *, transposed: bool) -> Layer:
    rows, columns = weights[weight].shape
    inputs, outputs = (rows, columns) if transposed else (columns, rows)
    module = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bool(bias))
    return Layer(module, (x,), _holds(weight, bias), transposed=transposed)


def _normalisation(step: Step, weights: Weights) -> Layer | None:
    x, scale, bias = _three(step)
    if scale not in weights or (bias and bias not in weights):
        return None
    shape = weights[scale].shape
    axis = step.attributes.get("axis", -1)
    if len(shape) != 1 or axis != -1 or (bias and weights[bias].shape != shape):
        return None
    module = nn.LayerNorm(shape, eps=step.attributes.get("epsilon", 1e-5), bias=bool(bias))
    return Layer(module, (x,), _holds(scale, bias))


def _embedding(step: Step, weights: Weights) -> Layer | None:
    table, index, _ = _three(step)
    if table not in weights or weights[table].ndim != 2 or step.attributes.get("axis", 0) != 0:
        return None
    return Layer(nn.utils.skip_init(nn.Embedding, *weights[table].shape), (index,), _holds(table, ""))


def _three(step: Step) -> tuple[str, str, str]:
    first, second, third, *_ = (*step.inputs, "", "", "")
    return first, second, third


def _holds(weight: str, bias: str) -> dict[str, str]:
    return {"weight": weight} | ({"bias": bias} if bias else {})


_LAYERS: dict[str, Callable[[Step, Weights], Layer | None]] = {
    "Conv": _convolution,
    "MatMul": _product,
    "Gemm": _gemm,
    "LayerNormalization": _normalisation,
    "Gather": _embedding,
}


def fill(layer: Layer, weights: Weights) -> None:
    """Copy the initializers into the layer's own parameters."""
    with torch.no_grad():
        for own, name in layer.holds.items():
            value = weights[name].float()
            parameter: Any = getattr(layer.module, own)
            parameter.copy_(value.T if layer.transposed and own == "weight" else value)
