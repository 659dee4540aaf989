"""OpenVINO on the CPU: often the faster engine, and the one with bf16.

Seen with 2026.4 on small graphs: after first calls with a single position, attention over other lengths was now and
then silently wrong. It was not seen from five positions on, which sources of sound ask for (`SoundInput.shortest`: ours
by what they say, an ONNX file unless it says otherwise); a text has two tokens at least.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.engines.base import Feeds, Precision, Session
from headstart.engines.failure import cannot_open, cannot_run, check_outputs
from headstart.engines.processor import processor
from headstart.errors import EngineError
from headstart.optional import has

_HINT = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # int8: what the graph left in float stays float
_import_lock = threading.Lock()


class OpenVino:
    """Runs a graph with OpenVINO's CPU plug-in."""

    device: Literal["cpu", "cuda"] = "cpu"

    def unavailable(self) -> str | None:
        """None where openvino is installed."""
        return None if has("openvino") else "openvino is not installed: pip install openvino"

    def precisions(self) -> tuple[Precision, ...]:
        """fp32; bf16 and int8 where the processor and OpenVINO both say that they are native."""
        if self.unavailable():
            return ("fp32",)
        able, here = _capabilities(), processor()
        found: list[Precision] = ["fp32"]
        if "BF16" in able and here.bf16 is not False:
            found.append("bf16")
        # OpenVINO lists INT8 on every processor, so what it says counts only where the system says it too.
        if "INT8" in able and here.int8:
            found.append("int8")
        return tuple(found)

    def open(self, graph: Path, outputs: Sequence[str], precision: Precision, threads: int) -> Session:
        """Load and compile `graph`; see `Engine.open`."""
        if precision == "bf16" and "BF16" not in _capabilities():  # it would run fp32 and not say so
            raise EngineError("openvino runs no bf16 on this processor, which has none; ask for fp32")
        try:
            model = _core().read_model(str(graph))
        except Exception as error:  # OpenVINO raises plain RuntimeErrors, with the C++ call stack in them
            raise cannot_open("openvino", graph, error) from error
        check_outputs("openvino", graph, outputs, [name for output in model.outputs for name in output.names])
        try:
            results = [model.output(name).get_node() for name in outputs]
            wanted = _openvino().Model(results, model.get_parameters(), "taps")
            single = _fix_batch(wanted)
            joined, widths = _joined(wanted)
            compiled = _core().compile_model(joined, "CPU", _settings(precision, threads))
        except Exception as error:
            raise cannot_open("openvino", graph, error) from error
        return _OpenVinoSession(compiled, widths, single=single)


class _OpenVinoSession:
    """An infer request holds the tensors of one call, so each calling thread has its own.

    `widths` of the outputs where they are joined to one; else empty.
    """

    def __init__(self, compiled: Any, widths: Sequence[int], *, single: bool) -> None:
        self._compiled = compiled
        self._single = single
        self._ends = np.cumsum(widths).tolist()
        self._n_outputs = len(compiled.outputs)
        self._mine = threading.local()
        self._inputs = {tensor.get_any_name() for tensor in compiled.inputs}

    def run(self, feeds: Feeds) -> list[NDArray[np.float32]]:
        if set(feeds) != self._inputs:  # OpenVINO itself would read a missing input's stale memory
            wanted = ValueError(f"got the inputs {sorted(feeds)}, expected {sorted(self._inputs)}")
            raise cannot_run("openvino", wanted)
        try:
            request = getattr(self._mine, "request", None)
            if request is None:
                request = self._mine.request = self._compiled.create_infer_request()
            outputs = self._infer_each(request, feeds) if self._single else self._infer(request, feeds)
        except Exception as error:
            raise cannot_run("openvino", error) from error
        if not self._ends:
            return outputs
        (joined,) = outputs
        return [joined[:, start:end] for start, end in zip([0, *self._ends], self._ends, strict=False)]

    def _infer_each(self, request: Any, feeds: Feeds) -> list[NDArray[np.float32]]:
        n = len(next(iter(feeds.values())))
        if n == 1:
            return self._infer(request, feeds)
        each = [self._infer(request, {name: value[i : i + 1] for name, value in feeds.items()}) for i in range(n)]
        return [np.concatenate(rows) for rows in zip(*each, strict=True)]

    def _infer(self, request: Any, feeds: Feeds) -> list[NDArray[np.float32]]:
        request.infer(dict(feeds), share_inputs=True, share_outputs=True)
        # The tensors are overwritten by this thread's next call: hand out copies.
        return [np.array(request.get_output_tensor(k).data, np.float32) for k in range(self._n_outputs)]


def _joined(model: Any) -> tuple[Any, list[int]]:
    """The model with its outputs side by side as one, and their widths; itself where not all are rows of known widths.

    Python then fetches one array an image, not sixteen: 0.1 ms less of its one lock.
    """
    from openvino import opset13

    shapes = [output.get_partial_shape() for output in model.outputs]
    if len(shapes) < 2 or not all(shape.rank == 2 and shape[1].is_static for shape in shapes):
        return model, []
    rows = [opset13.convert(result.input_value(0), "f32") for result in model.get_results()]
    joined = opset13.result(opset13.concat(rows, 1))
    return _openvino().Model([joined], model.get_parameters(), "joined"), [shape[1].get_length() for shape in shapes]


def _fix_batch(model: Any) -> bool:
    """Fix the batch of an image graph at 1, the way the pipeline runs it; True if it was.

    Known shapes let OpenVINO lay out memory beforehand: on EfficientNet-Lite0 fp32 ran 1.3 times, int8 twice as fast.
    """
    shapes = {one: one.get_partial_shape() for one in model.inputs}
    image = all(len(shape) == 4 and all(side.is_static for side in list(shape)[1:]) for shape in shapes.values())
    if image:
        model.reshape({one: [1, *(side.get_length() for side in list(shape)[1:])] for one, shape in shapes.items()})
    return image


def _settings(precision: Precision, threads: int) -> dict[str, Any]:
    """Compile settings: as many streams as calls of `threads` threads fit the cores.

    One stream runs one call at a time: with a single stream, workers that call side by side would queue. Streams share
    the weights, which a compiled model for each worker would not.
    """
    streams = max(1, processor().workers // threads)
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * threads,
        "ENABLE_CPU_PINNING": False,  # pinned threads of two processes would fight for the same core
        "INFERENCE_PRECISION_HINT": _HINT[precision],
    }


@cache
def _core() -> Any:
    return _openvino().Core()


def _capabilities() -> set[str]:
    return set(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _openvino() -> ModuleType:
    """OpenVINO, imported without its telemetry.

    `import openvino` also imports its model converter, which reports the import to its makers unless
    `openvino_telemetry` is absent. So it is made to look absent for the length of the import.

    Its bindings look up NumPy at the first use of an array, under a lock of C++ and with Python's held: two threads
    that do so first wait for each other for ever. So one does it here.
    """
    with _import_lock, _hidden("openvino_telemetry"):
        import openvino

        openvino.Tensor(np.zeros(1, np.float32)).element_type.to_dtype()

    return openvino  # type: ignore[no-any-return]


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Make `module` look absent; do nothing where openvino is imported already."""
    if "openvino" in sys.modules:
        yield
        return
    before = sys.modules.get(module)
    sys.modules[module] = None  # type: ignore[assignment]  # what the import system reads as "not there"
    try:
        yield
    finally:
        del sys.modules[module]
        if before is not None:
            sys.modules[module] = before
