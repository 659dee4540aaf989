"""The processor of this machine: its name, its cores, and which low precisions it runs natively."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MAX_WORKERS = 16
"""Threads that embed side by side, at most: beyond this the Python side that feeds them is the limit."""

_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # "bf16" is Arm's name
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"})


@dataclass(frozen=True)
class Processor:
    """What runs graphs here.

    Attributes:
        name: as the maker prints it, "AMD EPYC 7763"; part of the key under which an engine choice is remembered.
        cores: cores this process may use (affinity and container quota counted).
        flags: the instruction sets that the operating system lists; empty where it lists none.
    """

    name: str
    cores: int
    flags: frozenset[str]

    @property
    def workers(self) -> int:
        """How many threads embed side by side, each on one core."""
        return min(self.cores, MAX_WORKERS)

    @property
    def bf16(self) -> bool | None:
        """True where bfloat16 products are native; None where the operating system does not say."""
        return bool(self.flags & _BF16) if self.flags else None

    @property
    def int8(self) -> bool | None:
        """True where 8-bit dot products (VNNI, AMX, Arm dotprod) are native; None where it is not said."""
        return bool(self.flags & _INT8) if self.flags else None


@cache
def processor() -> Processor:
    """The processor of this machine; read once."""
    fields = _cpuinfo(Path("/proc/cpuinfo")) if sys.platform == "linux" else {}
    flags = frozenset((fields.get("flags") or fields.get("Features") or "").split())
    if sys.platform == "darwin" and platform.machine() == "arm64":
        flags = frozenset({"asimddp"})  # every Apple M has dot products; bf16 came later and is not listed
    parts = [fields[key] for key in ("CPU implementer", "CPU part") if key in fields]
    name = fields.get("model name") or platform.processor() or " ".join([platform.machine(), *parts])
    return Processor(name=name, cores=_cores(), flags=flags)


def native_int8() -> bool:
    """True where int8 graphs are worth trying: the processor multiplies 8-bit numbers natively."""
    return bool(processor().int8)


def gpu_present() -> bool:
    """True if a GPU driver is loaded. A look at device files, so that no torch is imported to learn there is none."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def _cpuinfo(path: Path) -> dict[str, str]:
    """The first processor's fields of a cpuinfo file; empty if it cannot be read."""
    fields: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return fields
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _cores() -> int:
    """Cores by affinity, cut to a container's quota (cgroup v2 `cpu.max`: microseconds allowed, per period)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or the quota is "max"
        return cores
