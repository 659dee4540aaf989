"""The artefact: layout, save, load, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.model.model import Model
    from headstart.model.packing import load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    if name == "Model":
        from headstart.model.model import Model

        return Model
    if name == "load":
        from headstart.model.packing import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
