"""What OpenVINO's own bindings would do to a process with several threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from headstart.optional import has

if not has("openvino"):  # not imported here: its telemetry would start a thread in this process
    pytest.skip("openvino is not installed", allow_module_level=True)

_FIRST_CALLS = """
import os, sys, threading
from pathlib import Path
import numpy as np
from headstart.engines.openvino import OpenVino

session = OpenVino().open(Path(sys.argv[1]), ["y"], "fp32", 1)
sys.setswitchinterval(1e-6)
together = threading.Barrier(4)

def call():
    together.wait()
    session.run({"x": np.ones((2, 3), np.float32)})

threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done", flush=True)
os._exit(0)
"""


def test_first_calls_from_several_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Without the look-up of NumPy on one thread, about every second run hangs."""
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [value("x", 1, ["n", 3])], [value("y", 1, ["n", 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "g.onnx")
    for _ in range(3):
        command = [sys.executable, "-c", _FIRST_CALLS, str(tmp_path / "g.onnx")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout == "done\n"
