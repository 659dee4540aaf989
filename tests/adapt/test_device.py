"""The device, and randomness that stays inside."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import torch

from headstart.adapt.device import Device, full_precision, own_randomness
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


def test_an_apple_gpu_is_asked_for_nothing_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch 2.2 has it there: no autocast, whether on or off; memory of its own to give back; copies waited for."""
    autocast = torch.autocast

    def refusing(kind: str, *arguments: object, **options: object) -> object:
        if kind == "mps":
            raise RuntimeError("User specified an unsupported autocast device_type 'mps'")
        return autocast(kind, *arguments, **options)

    freed, copied = [], []

    class Array(torch.Tensor):
        def to(self, device: torch.device, **options: object) -> torch.Tensor:
            copied.append((device.type, options["non_blocking"]))
            return self

    monkeypatch.setattr(torch, "autocast", refusing)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: freed.append(True))
    monkeypatch.setattr(Device, "torch", property(lambda self: torch.device("mps")))
    from_numpy = torch.from_numpy
    monkeypatch.setattr(torch, "from_numpy", lambda array: from_numpy(array).as_subclass(Array))
    device = Device(None)
    assert not device.bf16
    assert not device.on_cpu
    with device.autocast(), full_precision("mps"):
        device.put({"image": np.ones(2, np.float32)})
    device.free()
    assert copied == [("mps", False)]
    assert freed == [True]
    with autocast("cpu", dtype=torch.bfloat16), full_precision("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
