"""Optional packages: imported where they are needed, and named with their install line where absent."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from headstart.errors import MissingLayerError


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
