"""Stand-ins for what the commands call, so that the face is tested without the body."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """stand_in("headstart.workflow", fit=...): that module is now one with only these names."""

    def replace(module: str, **names: Any) -> None:
        made = ModuleType(module)
        for name, value in names.items():
            setattr(made, name, value)
        monkeypatch.setitem(sys.modules, module, made)

    return replace
