"""What an engine is: something that runs an ONNX graph on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Precision = Literal["fp32", "bf16", "int8"]

Feeds = Mapping[str, NDArray[np.generic]]


class Session(Protocol):
    """An opened graph. `run` may be called from several threads at once."""

    def run(self, feeds: Feeds) -> list[NDArray[np.float32]]:
        """The outputs asked for at `open`, in that order, each (n, width) float32."""


class Engine(Protocol):
    """One file each; registered under headstart.engines."""

    device: Literal["cpu", "cuda"]

    def unavailable(self) -> str | None:
        """None if this engine runs here, else the reason and the remedy in one line."""

    def precisions(self) -> tuple[Precision, ...]:
        """What this engine runs natively on this processor, fp32 first. int8 runs a quantised graph (QDQ)."""

    def open(self, graph: Path, outputs: Sequence[str], precision: Precision, threads: int) -> Session:
        """Load `graph` for `outputs`, at most `threads` threads a call.

        Raises:
            EngineError: the engine cannot run this graph.
        """
