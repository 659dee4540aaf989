"""The names of the parts of a model file; what each holds is declared in `model.layout`."""

from __future__ import annotations

import re
from pathlib import Path

_BESIDE = re.compile(r"\.(.+)\.\d+\.unchecked")

CARD = "model.json"
REPORT = "report.json"
HEAD = "head.safetensors"


def graph_member(view: int) -> str:
    """The ONNX member of a view."""
    return f"view-{view}.onnx"


def int8_member(view: int) -> str:
    """The quantised ONNX member of a view."""
    return f"view-{view}.int8.onnx"


def tokenizer_member(view: int) -> str:
    """The tokenizer member of a view."""
    return f"view-{view}.tokenizer.json"


def arrays_member(view: int) -> str:
    """The arrays member of a view."""
    return f"view-{view}.safetensors"


def goal(path: Path) -> Path:
    """What `path` is to be: itself; or NAME, of one that a fit writes beside it to check first, .NAME.PID.unchecked."""
    beside = _BESIDE.fullmatch(path.name)
    return path if beside is None else path.with_name(beside[1])
