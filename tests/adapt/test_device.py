"""The device, and randomness that stays inside."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import torch

from headstart.adapt.device import Device, is_out_of_memory, own_randomness
from headstart.engines.processor import processor


def test_what_torch_draws_outside_is_not_touched() -> None:
    """conftest.py says that there is one core."""
    torch.set_num_threads(2)
    torch.manual_seed(5)
    torch.rand(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with own_randomness(1):
        first = torch.rand(3)
        assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    with own_randomness(1):
        assert torch.equal(torch.rand(3), first)


def test_memory_that_runs_short_is_told_from_mistakes() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied (3x4 and 5x6)"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_cpu() -> None:
    device = Device(None)
    assert device.on_cpu
    assert device.is_main
    assert device.processes == 1
    assert device.bf16 == bool(processor().bf16)
    assert not Device(False).bf16
    put = device.put({"image": np.arange(6, dtype=np.float16)[::2]})
    assert put["image"].tolist() == [0.0, 2.0, 4.0]
    assert device.agreed(True)
    assert not device.agreed(False)
    with Device(True).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with Device(False).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
