"""ONNX Runtime on the CPU: the engine that is always there, and the reference for the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.engines.base import Feeds, Precision, Session
from headstart.engines.failure import cannot_open, cannot_run, check_outputs
from headstart.engines.processor import native_int8
from headstart.errors import EngineError
from headstart.optional import has, onnxruntime


class OnnxRuntime:
    """Runs a graph with onnxruntime's CPU provider."""

    device: Literal["cpu", "cuda"] = "cpu"

    def unavailable(self) -> str | None:
        """None where onnxruntime is installed."""
        return None if has("onnxruntime") else "onnxruntime is not installed: pip install onnxruntime"

    def precisions(self) -> tuple[Precision, ...]:
        """fp32, and int8 where the processor has 8-bit dot products."""
        return ("fp32", "int8") if native_int8() else ("fp32",)

    def open(self, graph: Path, outputs: Sequence[str], precision: Precision, threads: int) -> Session:
        """Load `graph`; see `Engine.open`."""
        if precision == "bf16":
            raise EngineError("onnxruntime runs no bf16 on a CPU; ask for fp32 or int8")
        try:
            runtime = onnxruntime()
            options = runtime.SessionOptions()
            options.log_severity_level = 3  # errors only; they come back as exceptions too
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            # Several sessions and callers share the cores: a pool that spins while idle takes them from the others.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception types share no base but Exception
            raise cannot_open("onnxruntime", graph, error) from error
        check_outputs("onnxruntime", graph, outputs, [output.name for output in session.get_outputs()])
        return _OnnxRuntimeSession(session, list(outputs))


class _OnnxRuntimeSession:
    """`InferenceSession.run` may be called from several threads; with one thread a call, each stays on its own."""

    def __init__(self, session: Any, outputs: list[str]) -> None:
        self._session = session
        self._outputs = outputs

    def run(self, feeds: Feeds) -> list[NDArray[np.float32]]:
        try:
            return list(self._session.run(self._outputs, dict(feeds)))
        except Exception as error:
            raise cannot_run("onnxruntime", error) from error
