"""Too little memory, as Python and torch say it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from headstart.adapt.memory import is_out_of_memory, short_memory_told
from headstart.errors import EngineError


def test_memory_that_runs_short_is_told_from_mistakes() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied (3x4 and 5x6)"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_it_is_told_as_an_error_of_ours_and_a_mistake_is_not() -> None:
    with pytest.raises(EngineError, match=r"^out of memory: choose a strategy that trains less"), short_memory_told():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(RuntimeError, match="shapes"), short_memory_told():
        raise RuntimeError("shapes cannot be multiplied (3x4 and 5x6)")
