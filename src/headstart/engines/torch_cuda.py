"""torch on a GPU: an ONNX graph run node by node with torch's kernels.

ONNX Runtime's own GPU build is a package that excludes the CPU build, so a GPU is served by what a GPU user already
has, torch. The graph stays the one file that every engine reads; the operators are in torch_ops.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.engines.base import Feeds, Precision, Session
from headstart.engines.failure import cannot_open, cannot_run, check_outputs
from headstart.engines.processor import gpu_present
from headstart.errors import EngineError
from headstart.optional import has, install_line

OLDEST_OPSET = 13  # before it, axes were attributes and Softmax flattened its input
_HOST_INTS = 64  # integer constants up to this size are shapes and axes: they stay where Python reads them


class TorchCuda:
    """Runs a graph with torch on the first CUDA (or ROCm) device.

    fp32 is what torch makes of it by default: convolutions may use TF32. bf16 is torch.autocast's: products in bf16,
    reductions, softmax and normalisation in fp32.
    """

    device: Literal["cpu", "cuda"] = "cuda"

    def __init__(self, torch_device: str = "cuda") -> None:
        self._torch_device = torch_device  # the tests run this engine's arithmetic on "cpu"

    def unavailable(self) -> str | None:
        """None where torch sees a GPU; torch is imported only where a GPU driver is loaded."""
        if self._torch_device == "cpu":
            return None if has("torch") else f"torch is not installed: {install_line('torch')}"
        if not gpu_present():
            return "no GPU is visible here (no NVIDIA or AMD driver is loaded); the CPU engines need none"
        if not has("torch"):
            return f"there is a GPU, but torch is not installed: {install_line('torch')}"
        import torch

        if not torch.cuda.is_available():
            return f"torch {torch.__version__} sees no GPU: install a torch built for this machine's driver"
        return None

    def precisions(self) -> tuple[Precision, ...]:
        """fp32, and bf16 where the GPU has it."""
        if self._torch_device == "cpu":
            return ("fp32", "bf16")
        if self.unavailable():
            return ("fp32",)
        import torch

        return ("fp32", "bf16") if torch.cuda.is_bf16_supported(including_emulation=False) else ("fp32",)

    def open(self, graph: Path, outputs: Sequence[str], precision: Precision, threads: int) -> Session:
        """Load `graph` onto the GPU; see `Engine.open`. `threads` does not matter there."""
        if precision == "int8":
            raise EngineError("torch-cuda runs no int8 graph; ask for fp32 or bf16")
        if reason := self.unavailable():
            raise EngineError(f"torch-cuda cannot open {graph}: {reason}")
        try:
            import onnx

            model = onnx.load(str(graph))
        except Exception as error:  # a damaged file raises protobuf's own errors
            raise cannot_open("torch-cuda", graph, error) from error
        check_outputs("torch-cuda", graph, outputs, [output.name for output in model.graph.output])
        _check_operators(model, graph)
        try:
            steps, constants = _steps(model, set(outputs)), _constants(model, self._torch_device)
        except Exception as error:
            raise cannot_open("torch-cuda", graph, error) from error
        return _TorchSession(steps, constants, list(outputs), self._torch_device, precision)


@dataclass(frozen=True, eq=False)
class _Step:
    """One node: its inputs and output by name, and what may be freed once it has run."""

    operator: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    output: str
    last_use: tuple[str, ...]


class _TorchSession:
    """Weights on the device; a call's values are its own, so calls do not touch each other."""

    def __init__(
        self, steps: list[_Step], constants: dict[str, Any], outputs: list[str], device: str, precision: Precision
    ) -> None:
        self._steps, self._constants, self._outputs = steps, constants, outputs
        self._device, self._low = device, precision == "bf16"
        self._one_at_a_time = threading.Lock()  # calls side by side would share the GPU's memory and gain nothing

    def run(self, feeds: Feeds) -> list[NDArray[np.float32]]:
        import torch

        try:
            with (
                self._one_at_a_time,
                torch.inference_mode(),
                torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._low),
            ):
                values = self._execute({name: torch.from_numpy(np.asarray(x)) for name, x in feeds.items()})
                return [values[name].float().cpu().numpy() for name in self._outputs]
        except Exception as error:
            raise cannot_run("torch-cuda", error) from error

    def _execute(self, feeds: dict[str, Any]) -> dict[str, Any]:
        from headstart.engines.torch_ops import OPERATIONS

        values = self._constants | {name: x.to(self._device) for name, x in feeds.items()}
        for step in self._steps:
            inputs = [values[name] if name else None for name in step.inputs]
            try:
                values[step.output] = OPERATIONS[step.operator](step.attributes, *inputs)
            except Exception as error:
                raise EngineError(f"{step.operator} ({step.output}): {error}") from error
            for name in step.last_use:
                del values[name]
        return values


def _check_operators(model: Any, graph: Path) -> None:
    """Refuse what torch_ops.py does not have, before any work is done."""
    from headstart.engines.torch_ops import OPERATIONS

    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise EngineError(
            f"torch-cuda: {graph.name} uses ONNX opset {opset}, needs {OLDEST_OPSET} or later; re-export it"
        )
    for node in model.graph.node:
        if node.op_type not in OPERATIONS or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            raise EngineError(
                f"torch-cuda has no operator {node.op_type} with {len(node.output)} outputs; use a CPU engine"
            )


def _steps(model: Any, outputs: set[str]) -> list[_Step]:
    """The nodes that `outputs` depend on, in order, each with the values that nothing reads after it."""
    import onnx

    steps: list[_Step] = []
    read = set(outputs)  # walking backwards: what later nodes read
    kept = {tensor.name for tensor in model.graph.initializer} | outputs
    for node in reversed(model.graph.node):
        if node.output[0] not in read:
            continue
        last = {name for name in node.input if name} - read - kept
        read |= {name for name in node.input if name}
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        steps.append(_Step(node.op_type, attributes, tuple(node.input), node.output[0], tuple(sorted(last))))
    return steps[::-1]


def _plain(value: Any) -> Any:
    """An attribute as Python or torch has it."""
    import onnx
    import torch

    if isinstance(value, onnx.TensorProto):
        return torch.from_numpy(onnx.numpy_helper.to_array(value).copy())
    if isinstance(value, bytes):
        return value.decode()
    return value


def _constants(model: Any, device: str) -> dict[str, Any]:
    """The initializers: weights on the device, shapes and axes on the CPU."""
    import onnx
    import torch

    constants = {}
    for tensor in model.graph.initializer:
        value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        on_host = not value.is_floating_point() and value.numel() <= _HOST_INTS
        constants[tensor.name] = value if on_host else value.to(device)
    return constants
