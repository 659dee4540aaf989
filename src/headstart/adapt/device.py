"""Where a training runs, through accelerate: a CPU, a GPU, or this process's of several GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.engines.processor import processor


class Device:
    """One training's view of the hardware.

    Attributes:
        accelerator: accelerate's; it wraps model and optimiser and keeps several processes in step.
        bf16: whether products are computed in bfloat16.
    """

    def __init__(self, bf16: bool | None) -> None:
        from accelerate import Accelerator

        self.accelerator: Any = Accelerator()
        self.bf16 = self._native() if bf16 is None else bf16

    @property
    def torch(self) -> torch.device:
        """As torch names it."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def on_cpu(self) -> bool:
        """True where there is no accelerator."""
        return bool(self.torch.type == "cpu")

    @property
    def processes(self) -> int:
        """How many processes train this one network."""
        return int(self.accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """True in the one process that writes."""
        return bool(self.accelerator.is_main_process)

    def autocast(self) -> AbstractContextManager[None]:
        """Products in bfloat16 where that is chosen."""
        return torch.autocast(self.torch.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def put(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        """Arrays as tensors there; only CUDA keeps what it copies from until it was copied."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(x)).to(self.torch, non_blocking=self.torch.type == "cuda")
            for name, x in feeds.items()
        }

    def agreed(self, flag: bool) -> bool:
        """True in every process where it is in any."""
        if self.processes == 1:
            return flag
        return float(self.accelerator.reduce(torch.tensor(float(flag), device=self.torch))) > 0

    def free(self) -> None:
        """Give back memory that torch keeps for later."""
        if self.torch.type == "cuda":
            torch.cuda.empty_cache()
        elif self.torch.type == "mps":
            torch.mps.empty_cache()

    def _native(self) -> bool:
        if self.torch.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return self.on_cpu and bool(processor().bf16)


def full_precision(kind: str) -> AbstractContextManager[None]:
    """Products in float32 inside `Device.autocast` too, which is only ever on for these kinds of device."""
    return torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else nullcontext()


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Inside, torch's generators are seeded and it uses all cores; outside, both are as they were."""
    threads = torch.get_num_threads()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(processor().cores)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
