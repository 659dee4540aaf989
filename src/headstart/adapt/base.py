"""What a strategy that moves weights is given, and what it gives back.

A source is an ONNX graph, and stays one: a strategy trains some of the graph's own weights in torch, and what comes
back is the same graph with other numbers in it, and a linear head on its taps. So whatever has a graph can be
trained, and what was trained is at once a source again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.features.blocks import Features
from headstart.progress import SILENT, Progress
from headstart.sources.base import Source, Tap
from headstart.tasks import Target

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Job:
    """One source and the labelled items it is to be adapted to.

    Attributes:
        items: n paths of images or sounds, or n texts.
        target: their n labels. A strategy looks at those of the rows it is told to learn from, and at no others.
        features: what the frozen source says of all n items, for closed-form heads to start from.
        folder: what may be kept between runs: activations, checkpoints.
        weights: (n,) item weights or None.
        deadline: time.perf_counter() value at which training stops where it stands; None for no limit.
    """

    source: Source
    items: Sequence[Path] | Sequence[str]
    target: Target
    features: Features
    folder: Path
    weights: NDArray[np.float64] | None = None
    seed: int = 0
    deadline: float | None = None
    progress: Progress = SILENT


@dataclass(frozen=True, order=True)
class Reading:
    """A point at which a training is read off.

    Attributes:
        epoch: after how many passes over the training items.
        blend: how far to go from the source's weights (0) to the trained ones (1): w = (1 - blend) w_source + blend
            w_trained, the head included (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).
        head: as the strategy has it, or ridge fitted anew on what the weights now say of the training items.
    """

    epoch: int
    blend: float = 1.0
    head: Literal["own", "refitted"] = "own"

    @property
    def words(self) -> str:
        """For people."""
        return f"epoch {self.epoch}, blend {self.blend:g}" + (", head refitted" if self.head == "refitted" else "")


@dataclass(frozen=True, eq=False)
class Moved:
    """What training changed.

    Attributes:
        weights: name of an initializer of the source's graph -> its new value, float32, of the same shape.
        taps: the outputs of the graph that the head reads, side by side.
        head: (C, d) float32, d the width of the taps together.
        bias: (C,) float32.
    """

    weights: Mapping[str, NDArray[np.float32]]
    taps: tuple[Tap, ...]
    head: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Learned:
    """What one training gave.

    Attributes:
        scores: for each reading asked for, (len(test), C) float64 logits (regression: the prediction) of the test rows.
        moved: the state at the last reading.
        notes: what the user should know: a smaller batch, a rollback, an early stop.
        known: True where it was trained before, and only read from disk.
    """

    scores: tuple[NDArray[np.float64], ...]
    moved: Moved
    notes: tuple[str, ...] = ()
    known: bool = False


class Strategy(Protocol):
    """A way to move weights. One file each; registered under headstart.strategies."""

    name: str

    def reason_not(self, job: Job) -> str | None:
        """None where this strategy can serve the job, else why not, in one line. Imports nothing heavy."""

    def estimated_seconds(self, job: Job, rows: int) -> float:
        """A rough time of `learn` on so many training rows on this machine, before anything was timed."""

    def preparing_seconds(self, job: Job, rows: int) -> float:
        """A rough time of what is done once for so many rows, however many trainings need it."""

    def readings(self, job: Job, rows: int) -> tuple[Reading, ...]:
        """Where a training on so many rows is worth reading off, in ascending order."""

    def learn(self, job: Job, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
        """Train on `train`, score `test` at each reading. On a CPU the same job and rows give the same numbers.

        Raises:
            MissingLayerError: torch is not installed.
            EngineError: the graph cannot be trained here.
        """
