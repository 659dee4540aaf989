"""No strategy moves a sound source yet: each says so in one line, before anything heavy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headstart import registry

STRATEGIES = registry.names("headstart.strategies")


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_sound_source_is_not_moved(name: str) -> None:
    job: Any = SimpleNamespace(source=SimpleNamespace(modality="sound"), target=SimpleNamespace(task="multiclass"))
    reason = registry.get("headstart.strategies", name).reason_not(job)
    assert "sound sources are not moved yet" in reason
    assert "\n" not in reason
