"""What the benchmarks share: whole processes timed from outside, the machine in words, seeds, data folders."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HEADSTART_BENCH_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Run:
    """A finished process: wall seconds, its peak resident bytes, and what it printed."""

    seconds: float
    peak_bytes: int
    stdout: str

    def json(self) -> Any:
        return json.loads(self.stdout)


def run(command: list[str], env: dict[str, str] | None = None) -> Run:
    """Run a whole process; its failure is the benchmark's failure."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=out, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed ({process.returncode}):\n{errors.read()[-4000:]}")
        return Run(seconds, used.ru_maxrss * 1024, out.read())


def headstart(*arguments: str | Path, home: Path) -> Run:
    """One `headstart` command with its caches under `home`."""
    command = [sys.executable, "-m", "headstart.cli.main", *map(str, arguments), "--json"]
    return run(command, {"HEADSTART_HOME": str(home)})


def machine() -> str:
    """The processor, its cores, and the interpreter."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def need(folder: Path) -> Path:
    """A data folder, or a clean exit that names it."""
    if not folder.exists():
        sys.exit(f"{folder} is not there: set HEADSTART_BENCH_DATA to the folder of the benchmark data")
    return folder
