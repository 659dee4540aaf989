"""Packages imported where they are needed: optional ones named with their install line, one without its telemetry."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from types import ModuleType

from headstart.errors import MissingLayerError

_NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
_import_lock = threading.Lock()


def install_line(layer: str) -> str:
    """The command that installs a layer of headstart."""
    return f"pip install 'headstart[{layer}]'"


def has(module: str) -> bool:
    """True if `module` could be imported; nothing is imported to find out."""
    return importlib.util.find_spec(module) is not None


def require(module: str, layer: str, purpose: str) -> ModuleType:
    """Import `module`, or say what needs it and how to install it.

    Raises:
        MissingLayerError: the package is absent.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        package = module.partition(".")[0]
        if missing.name is not None and missing.name.partition(".")[0] != package:
            raise
        raise MissingLayerError(f"{purpose} needs {package}, which is not installed: {install_line(layer)}") from None


def onnxruntime() -> ModuleType:
    """ONNX Runtime, imported so that it reports nothing.

    From version 1.29 on, what it is used for is told to its makers, and files are left in the temporary folder, unless
    a variable of the environment forbids that while its library is loaded (its docs/Privacy.md). So that is set for the
    length of the import, unless the user has set it.
    """
    with _import_lock:
        ours = "onnxruntime" not in sys.modules and _NO_TELEMETRY not in os.environ
        if ours:
            os.environ[_NO_TELEMETRY] = "1"
        try:
            return importlib.import_module("onnxruntime")
        finally:
            if ours:
                del os.environ[_NO_TELEMETRY]
