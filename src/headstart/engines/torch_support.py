"""Which graphs torch_ops.py can run, and which nodes an output needs: told without importing torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx

OPERATORS = frozenset({
    "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape",
    "Conv", "CumSum", "Div", "Dropout", "Equal", "Erf", "Exp", "Expand", "Flatten", "Gather", "GatherElements",
    "Gelu", "Gemm", "GlobalAveragePool", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min",
    "Mul", "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceSum", "Relu", "Reshape", "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze",
    "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
"""The operators of torch_ops.py."""
SEVERAL = frozenset({"Split"})
"""Those with several outputs: their function gives the one that attributes["part"] names."""
OLDEST_OPSET = 13  # before it, axes were attributes and Softmax flattened its input


def reason_not(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> str | None:
    """Why torch_ops.py cannot run `nodes` of `model`, in a clause; None where it can."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        return f"the graph uses ONNX opset {opset}, needed is {OLDEST_OPSET} or later; re-export it"
    for node in nodes:
        known = node.op_type in OPERATORS and node.domain in ("", "ai.onnx")
        if not known or (len(node.output) != 1 and node.op_type not in SEVERAL):
            return f"there is no operator {node.op_type} with {len(node.output)} outputs in torch here"
    return None


def needed(
    model: onnx.ModelProto, outputs: Collection[str], start: Collection[str] = frozenset()
) -> list[onnx.NodeProto]:
    """The nodes that `outputs` depend on, in order; what computes the tensors of `start` is not among them."""
    read = set(outputs) - set(start)
    kept = []
    for node in reversed(model.graph.node):  # nodes are sorted by execution: one pass backwards finds every ancestor
        if read.intersection(node.output):
            kept.append(node)
            read |= {name for name in node.input if name} - set(start)
    return kept[::-1]
