"""torch on a GPU: an ONNX graph run node by node with torch's kernels.

ONNX Runtime's own GPU build is a package that excludes the CPU build, so a GPU is served by what a GPU user already
has, torch. The graph stays the one file that every engine reads; torch_graph.py reads it, torch_ops.py has the
operators.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.engines.base import Feeds, Precision, Session
from headstart.engines.failure import cannot_open, cannot_run, check_outputs
from headstart.engines.processor import gpu_present
from headstart.errors import EngineError
from headstart.optional import has, install_line

if TYPE_CHECKING:
    from headstart.engines.torch_graph import Step


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
        from headstart.engines.torch_fusions import fused
        from headstart.engines.torch_graph import steps
        from headstart.engines.torch_support import reason_not

        if reason := reason_not(model, model.graph.node):
            raise EngineError(f"torch-cuda cannot run {graph.name}: {reason}; or use a CPU engine")
        try:
            constants = _constants(model, self._torch_device)
            plan = fused(steps(model, outputs), constants, {*constants, *outputs})
        except Exception as error:
            raise cannot_open("torch-cuda", graph, error) from error
        return _TorchSession(plan, constants, list(outputs), self._torch_device, precision)


class _TorchSession:
    """Weights on the device; a call's values are its own, so calls do not touch each other."""

    def __init__(
        self, steps: list[Step], constants: dict[str, Any], outputs: list[str], device: str, precision: Precision
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
        from headstart.engines.torch_fusions import RUNNABLE

        values = self._constants | {name: x.to(self._device) for name, x in feeds.items()}
        for step in self._steps:
            inputs = [values[name] if name else None for name in step.inputs]
            try:
                values[step.output] = RUNNABLE[step.operator](step.attributes, *inputs)
            except Exception as error:
                raise EngineError(f"{step.operator} ({step.output}): {error}") from error
            for name in step.last_use:
                del values[name]
        return values


def _constants(model: Any, device: str) -> dict[str, Any]:
    """The initializers: weights on the device, shapes and axes on the CPU."""
    from headstart.engines.torch_graph import on_host, tensor_of

    values = {tensor.name: tensor_of(tensor) for tensor in model.graph.initializer}
    return {name: value if on_host(value) else value.to(device) for name, value in values.items()}
