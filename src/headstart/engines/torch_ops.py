"""ONNX operators as torch operations: those that exported vision and text encoders are made of (opset 13 and later).

Each function takes the node's attributes and its inputs (None where an optional one is left out) and returns one
output: its only one, but for those that torch_support.py says have several. Shapes, axes and indices stay on the CPU,
as the specification's int64 tensors, so that reading them never waits for the GPU; `join` brings them over where they
meet data.
Semantics: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attributes = dict[str, Any]
Operation = Callable[..., Tensor]

# onnx.TensorProto data types, as they are numbered in the file format.
DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip


def join(*tensors: Tensor) -> list[Tensor]:
    """The tensors on one device: the GPU if any of them is there."""
    device = next((t.device for t in tensors if t.device.type != "cpu"), tensors[0].device)
    return [t.to(device) for t in tensors]


def _ints(tensor: Tensor) -> list[int]:
    return [int(v) for v in tensor.reshape(-1).tolist()]


def _elementwise(function: Callable[..., Tensor]) -> Operation:
    return lambda attributes, *inputs: function(*join(*inputs))


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """Min, Max, Sum: any number of inputs."""

    def operation(attributes: Attributes, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(*join(first, other))
        return first

    return operation


def _axes(attributes: Attributes, x: Tensor, axes: Tensor | None) -> list[int]:
    """Axes came as an attribute until opset 17 (13 for some operators), as an input from then on; none means all."""
    if axes is not None:
        return _ints(axes)
    if "axes" in attributes:
        return list(attributes["axes"])
    return [] if attributes.get("noop_with_empty_axes", 0) else list(range(x.ndim))


def _reduce(function: Callable[..., Tensor]) -> Operation:
    def operation(attributes: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = _axes(attributes, x, axes)
        return function(x, dim=dims, keepdim=bool(attributes.get("keepdims", 1))) if dims else x

    return operation


def _norm2(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    return torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)


def _padding(pads: list[int]) -> list[int]:
    """ONNX's [begin_1..begin_k, end_1..end_k] as torch's [begin_k, end_k, .., begin_1, end_1]."""
    k = len(pads) // 2
    return [side for i in reversed(range(k)) for side in (pads[i], pads[k + i])]


def _window(attributes: Attributes, x: Tensor, fill: float) -> Tensor:
    """`x` padded for a convolution or a pooling window."""
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NotImplementedError(f"auto_pad={attributes['auto_pad']}")
    pads = attributes.get("pads", [0])
    return functional.pad(x, _padding(list(pads)), value=fill) if any(pads) else x


def conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Conv in one or two dimensions, grouped or not."""
    function = {1: functional.conv1d, 2: functional.conv2d}[weight.ndim - 2]
    ones = [1] * (weight.ndim - 2)
    pads = list(attributes.get("pads", [0, 0] * len(ones)))
    even = pads[: len(ones)] == pads[len(ones) :] and attributes.get("auto_pad", "NOTSET") == "NOTSET"
    return function(
        x if even else _window(attributes, x, 0.0),
        weight,
        bias,
        attributes.get("strides", ones),
        pads[: len(ones)] if even else 0,
        attributes.get("dilations", ones),
        attributes.get("group", 1),
    )


def max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    """MaxPool in two dimensions, values only."""
    kernel = attributes["kernel_shape"]
    padded = _window(attributes, x, float("-inf"))
    return functional.max_pool2d(
        padded, kernel, attributes.get("strides", [1, 1]), 0, attributes.get("dilations", [1, 1])
    )


def average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    """AveragePool in two dimensions; padding counts only where the file says so."""
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    total = functional.avg_pool2d(_window(attributes, x, 0.0), kernel, strides)
    if attributes.get("count_include_pad", 0) or not any(attributes.get("pads", [0])):
        return total
    inside = _window(attributes, torch.ones_like(x[:1, :1]), 0.0)
    return total / functional.avg_pool2d(inside, kernel, strides)


def batch_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """BatchNormalization at inference."""
    return functional.batch_norm(x, mean, var, scale, bias, eps=attributes.get("epsilon", 1e-5))


def layer_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """LayerNormalization over the last axes."""
    shape = x.shape[attributes.get("axis", -1) % x.ndim :]
    bias = None if bias is None else bias.expand(shape)
    return functional.layer_norm(x, shape, scale.expand(shape), bias, attributes.get("epsilon", 1e-5))


def gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """Gemm: alpha A B + beta C, either factor transposed."""
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    y = (a @ b) * attributes.get("alpha", 1.0)
    return y if c is None else y + c * attributes.get("beta", 1.0)


def clip(attributes: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Clip; a bound that is left out does not bind."""
    x = x if low is None else torch.maximum(*join(x, low.to(x.dtype)))
    return x if high is None else torch.minimum(*join(x, high.to(x.dtype)))


def gather(attributes: Attributes, data: Tensor, index: Tensor) -> Tensor:
    """Gather: whole slices along an axis; indices may count from the end."""
    axis = attributes.get("axis", 0) % data.ndim
    data, index = join(data, index.long())
    index = torch.where(index < 0, index + data.shape[axis], index)
    picked = data.index_select(axis, index.reshape(-1))
    return picked.reshape((*data.shape[:axis], *index.shape, *data.shape[axis + 1 :]))


def gather_elements(attributes: Attributes, data: Tensor, index: Tensor) -> Tensor:
    """GatherElements."""
    axis = attributes.get("axis", 0) % data.ndim
    data, index = join(data, index.long())
    return data.gather(axis, torch.where(index < 0, index + data.shape[axis], index))


def cut(
    attributes: Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Slice with positive steps; bounds beyond the end are cut to it, as Python's are."""
    dims = range(len(_ints(starts))) if axes is None else _ints(axes)
    strides = [1] * len(dims) if steps is None else _ints(steps)
    if min(strides) < 1:
        raise NotImplementedError("a negative step")
    where = [slice(None)] * x.ndim
    for dim, start, end, stride in zip(dims, _ints(starts), _ints(ends), strides, strict=True):
        where[dim] = slice(start, end, stride)
    return x[tuple(where)]


def reshape(attributes: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    """Reshape: 0 keeps a size, -1 is inferred."""
    sizes = _ints(shape)
    if not attributes.get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def flatten(attributes: Attributes, x: Tensor) -> Tensor:
    """Flatten to two dimensions at an axis."""
    axis = attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(torch.tensor(x.shape[:axis]).prod()) if axis else 1, -1)


def unsqueeze(attributes: Attributes, x: Tensor, axes: Tensor) -> Tensor:
    """Unsqueeze: axes count in the result."""
    dims = _ints(axes)
    rank = x.ndim + len(dims)
    for dim in sorted(d % rank for d in dims):
        x = x.unsqueeze(dim)
    return x


def squeeze(attributes: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Squeeze the named axes, or all of size 1."""
    return x.squeeze() if axes is None else x.squeeze(tuple(_ints(axes)))


def expand(attributes: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    """Expand: two-way broadcasting, so a 1 in `shape` keeps the tensor's size."""
    return x.expand(torch.broadcast_shapes(x.shape, _ints(shape)))


def pad(attributes: Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    """Pad with a constant."""
    if attributes.get("mode", "constant") != "constant":
        raise NotImplementedError(f"mode={attributes['mode']}")
    return functional.pad(x, _padding(_ints(pads)), value=0.0 if value is None else float(value))


def shape_of(attributes: Attributes, x: Tensor) -> Tensor:
    """Shape, or a part of it, on the CPU."""
    return torch.tensor(x.shape[attributes.get("start", 0) : attributes.get("end")], dtype=torch.int64)


def constant_of_shape(attributes: Attributes, shape: Tensor) -> Tensor:
    """ConstantOfShape: zeros unless a value is given."""
    value = attributes.get("value", torch.zeros(1))
    return value.reshape(()).expand(_ints(shape))


def split(attributes: Attributes, x: Tensor, sizes: Tensor | None = None) -> Tensor:
    """One "part" of Split's "parts": of the given sizes, or even ones of which the last may be smaller."""
    axis, part = attributes.get("axis", 0), attributes["part"]
    even = -(-x.shape[axis] // attributes["parts"])
    return x.split(even if sizes is None else _ints(sizes), axis)[part]


def arange(attributes: Attributes, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Range."""
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def cast(attributes: Attributes, x: Tensor) -> Tensor:
    """Cast to a tensor type of the file format."""
    return x.to(DTYPES[attributes["to"]])


def cumulative_sum(attributes: Attributes, x: Tensor, axis: Tensor) -> Tensor:
    """CumSum, inclusive and forward."""
    if attributes.get("exclusive", 0) or attributes.get("reverse", 0):
        raise NotImplementedError("exclusive or reverse")
    return x.cumsum(int(axis), dtype=x.dtype)


def divide(attributes: Attributes, a: Tensor, b: Tensor) -> Tensor:
    """Div: integers divide towards zero."""
    a, b = join(a, b)
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


OPERATIONS: dict[str, Operation] = {
    "Abs": _elementwise(torch.abs),
    "Add": _elementwise(torch.add),
    "And": _elementwise(torch.logical_and),
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Clip": clip,
    "Concat": lambda attributes, *xs: torch.cat(join(*xs), dim=attributes["axis"]),
    "Constant": lambda attributes: next(torch.as_tensor(value) for value in attributes.values()),
    "ConstantOfShape": constant_of_shape,
    "Conv": conv,
    "CumSum": cumulative_sum,
    "Div": divide,
    "Dropout": lambda attributes, x, *training: x,
    "Equal": _elementwise(torch.eq),
    "Erf": _elementwise(torch.erf),
    "Exp": _elementwise(torch.exp),
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Gelu": lambda attributes, x: functional.gelu(x, approximate=attributes.get("approximate", "none")),
    "Gemm": gemm,
    "GlobalAveragePool": lambda attributes, x: x.mean(dim=list(range(2, x.ndim)), keepdim=True),
    "Greater": _elementwise(torch.gt),
    "GreaterOrEqual": _elementwise(torch.ge),
    "HardSigmoid": lambda attributes, x: (x * attributes.get("alpha", 0.2) + attributes.get("beta", 0.5)).clamp(
        0.0, 1.0
    ),
    "HardSwish": _elementwise(functional.hardswish),
    "Identity": lambda attributes, x: x,
    "LayerNormalization": layer_norm,
    "LeakyRelu": lambda attributes, x: functional.leaky_relu(x, attributes.get("alpha", 0.01)),
    "Less": _elementwise(torch.lt),
    "LessOrEqual": _elementwise(torch.le),
    "Log": _elementwise(torch.log),
    "LogSoftmax": lambda attributes, x: x.log_softmax(attributes.get("axis", -1)),
    "MatMul": _elementwise(torch.matmul),
    "Max": _fold(torch.maximum),
    "MaxPool": max_pool,
    "Min": _fold(torch.minimum),
    "Mul": _elementwise(torch.mul),
    "Neg": _elementwise(torch.neg),
    "Not": _elementwise(torch.logical_not),
    "Or": _elementwise(torch.logical_or),
    "Pad": pad,
    "Pow": _elementwise(torch.pow),
    "Range": arange,
    "Reciprocal": _elementwise(torch.reciprocal),
    "ReduceL2": _reduce(_norm2),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _elementwise(torch.relu),
    "Reshape": reshape,
    "Shape": shape_of,
    "Sigmoid": _elementwise(torch.sigmoid),
    "Slice": cut,
    "Softmax": lambda attributes, x: x.softmax(attributes.get("axis", -1)),
    "Split": split,
    "Sqrt": _elementwise(torch.sqrt),
    "Squeeze": squeeze,
    "Sub": _elementwise(torch.sub),
    "Sum": _fold(torch.add),
    "Tanh": _elementwise(torch.tanh),
    "Transpose": lambda attributes, x: x.permute(attributes.get("perm", tuple(reversed(range(x.ndim))))),
    "Unsqueeze": unsqueeze,
    "Where": _elementwise(torch.where),
}
"""The operators that run here, those of torch_support.py; any other is an EngineError when a graph is opened."""
