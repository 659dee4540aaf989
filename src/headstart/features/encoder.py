"""An opened source: its session, and what it takes to turn items into rows with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart import registry
from headstart.engines.base import Engine, Feeds, Session
from headstart.engines.choose import open_session
from headstart.engines.memory import Choice
from headstart.progress import SILENT, Progress
from headstart.sources.base import Source, SourceInput, Tap

_HALF = float(np.finfo(np.float16).max)


@dataclass(eq=False)
class Pace:
    """How many items a graph was run on, and the seconds of all calls together, those side by side counted each."""

    items: int = 0
    seconds: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def add(self, items: int, seconds: float) -> None:
        """Count a call; from any thread."""
        with self._lock:
            self.items += items
            self.seconds += seconds


@dataclass(frozen=True, eq=False)
class Encoder:
    """What applies a frozen graph to items.

    Attributes:
        session: the opened graph; it gives `taps` in their order.
        input: how an item is prepared.
        taps: the blocks of a row.
        tokenizer: the tokenizer file, for texts.
        workers: threads that prepare items and, on a CPU, run the graph.
        device: on "cpu" each worker runs its own items; on "cuda" the workers prepare and the caller's thread runs.
        pace: of the session, opening it left out; stays empty unless it is from `open_encoder`.
    """

    session: Session
    input: SourceInput
    taps: tuple[Tap, ...]
    tokenizer: Path | None = None
    workers: int = 1
    device: Literal["cpu", "cuda"] = "cpu"
    pace: Pace = field(default_factory=Pace)

    @property
    def width(self) -> int:
        """D: the columns of a row."""
        return sum(tap.width for tap in self.taps)

    def rows(self, feeds: Feeds) -> NDArray[np.float16]:
        """(n, D) float16 of n prepared items."""
        return half(self.outputs(feeds))

    def outputs(self, feeds: Feeds) -> NDArray[np.float32]:
        """(n, D) float32 of n prepared items, the taps side by side."""
        outputs = self.session.run(feeds)
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)


def half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """In the precision of the cache; what float16 cannot hold is cut to +-65504. NaN stays NaN."""
    return np.clip(values, -_HALF, _HALF).astype(np.float16)


def open_encoder(source: Source, choice: Choice, *, progress: Progress = SILENT) -> Encoder:
    """An encoder of all taps of `source`, on the chosen engine.

    The graph is opened when the first item needs it. Its first use raises EngineError if the engine cannot run it,
    EngineGoneError if another can.
    """
    names = [tap.name for tap in source.taps]
    pace = Pace()
    return Encoder(
        session=_OpenedLate(lambda: open_session(source, choice, names, progress=progress), pace),
        input=source.input,
        taps=source.taps,
        tokenizer=source.tokenizer if source.modality == "text" else None,
        workers=choice.workers,
        device=_device(choice.engine),
        pace=pace,
    )


def _device(engine: str) -> Literal["cpu", "cuda"]:
    """Where an engine runs; "cpu" for one that is gone: opening it says so."""
    if engine not in registry.names("headstart.engines"):
        return "cpu"
    found: Engine = registry.get("headstart.engines", engine)
    return found.device


class _OpenedLate:
    """A session that costs nothing until it is run: files that are all known by their content need none."""

    def __init__(self, make: Callable[[], Session], pace: Pace) -> None:
        self._make = make
        self._session: Session | None = None
        self._lock = Lock()
        self._pace = pace

    def run(self, feeds: Feeds) -> list[NDArray[np.float32]]:
        with self._lock:
            if self._session is None:
                self._session = self._make()
        started = time.perf_counter()
        outputs = self._session.run(feeds)
        self._pace.add(len(outputs[0]), time.perf_counter() - started)
        return outputs
