"""A strategy without torch, and the problems that it is tried on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.adapt.base import Job, Learned, Moved, Reading, Rows
from headstart.data.splits import folds
from headstart.engines.memory import Choice
from headstart.features.blocks import Features
from headstart.heads.ridge import Ridge
from headstart.plan.candidates import frozen
from headstart.plan.crossfit import Problem
from headstart.plan.scored import Scored
from headstart.plan.tuned import Tuned
from headstart.plan.views import SourceView
from headstart.sources.base import Tap
from headstart.tasks import Target

TAP = Tap("last.mean", 0, "mean", 6)
CHOICE = Choice("onnxruntime", "fp32", 1, 1, 1.0)


@dataclass(eq=False)
class Fake:
    """Finds, epoch by epoch, features that the frozen source hides.

    Attributes:
        hidden: (n, 6) what it finds; the frozen features move toward it, all the way in the last epoch.
        epochs: where it is read.
        estimate: seconds of a training, or of a row of it.
        prepares: seconds that a row takes before its first training.
        sleeps: seconds that a training takes, to its deadline at most.
        raises: what `learn` raises, if anything.
        log: (train, test) of each training.
    """

    hidden: np.ndarray
    name: str = "fake"
    epochs: tuple[int, ...] = (1, 2, 4)
    estimate: float = 0.1
    by_row: bool = False
    prepares: float = 0.0
    sleeps: float = 0.0
    raises: BaseException | None = None
    refuses: str | None = None
    log: list[tuple[Rows, Rows]] = field(default_factory=list)

    def reason_not(self, job: Job) -> str | None:
        return self.refuses

    def estimated_seconds(self, job: Job, rows: int) -> float:
        return self.estimate * (rows if self.by_row else 1)

    def preparing_seconds(self, job: Job, rows: int) -> float:
        return self.prepares * rows

    def readings(self, job: Job, rows: int) -> tuple[Reading, ...]:
        return tuple(Reading(epoch) for epoch in self.epochs)

    def learn(self, job: Job, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
        self.log.append((train, test))
        if self.raises is not None:
            raise self.raises
        if self.sleeps:
            end = time.perf_counter() + self.sleeps
            time.sleep(max(0.0, (end if job.deadline is None else min(end, job.deadline)) - time.perf_counter()))
        scores, fitted = [], None
        for reading in readings:
            share = reading.epoch / self.epochs[-1] * reading.blend
            x = ((1 - share) * job.features.matrix + share * self.hidden).astype(np.float64)
            fitted = Ridge().fit(x[train], job.target.take(train), weights=None)
            scores.append((1 if job.target.task == "regression" else 5) * fitted.scores(x[test]))
        assert fitted is not None
        head, bias = fitted.map.weight.T.astype(np.float32), fitted.map.bias.astype(np.float32)
        moved = Moved({"w": np.ones((2, 2), np.float32)}, (TAP,), np.ascontiguousarray(head), bias)
        return Learned(tuple(scores), moved, (f"{len(train)} rows",))


@dataclass(frozen=True, eq=False)
class Case:
    """A problem whose label shows in `hidden`, and weakly in the frozen features.

    Attributes:
        bar: ridge on the frozen features, cross-fitted.
    """

    problem: Problem
    job: Job
    hidden: np.ndarray
    bar: Scored

    def tuned(self, **fields: object) -> Tuned:
        """A candidate with a fake strategy of its own."""
        return Tuned(self.job, Fake(**{"hidden": self.hidden, **fields}), CHOICE)  # type: ignore[arg-type]


def as_target(task: str, y: np.ndarray) -> Target:
    if task == "regression":
        return Target("regression", y + 0.1 * np.sin(np.arange(len(y))), ("value",))
    if task == "multilabel":
        return Target("multilabel", np.stack([y > 0, y > 1], axis=1).astype(np.uint8), ("a", "b"))
    if task == "binary":
        return Target("binary", (y > 0).astype(np.int64), ("a", "b"))
    return Target("multiclass", y, ("a", "b", "c"))


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    """make_case(task, n=90, signal=4, weak=1, k=3, groups=None, times=None)"""

    def make(
        task: str = "multiclass",
        n: int = 90,
        signal: float = 4.0,
        weak: float = 1.0,
        k: int = 3,
        groups: np.ndarray | None = None,
        times: np.ndarray | None = None,
    ) -> Case:
        rng = np.random.default_rng(0)
        y = np.arange(n) % 3
        shown = rng.normal(size=(n, 6)) + weak * np.eye(3, 6)[y]
        hidden = rng.normal(size=(n, 6)) + signal * np.eye(3, 6)[y]
        features = Features((TAP,), shown.astype(np.float16))
        target = as_target(task, y)
        problem = Problem(target, folds(target, groups=groups, times=times, k=k, seed=0), groups, None, 0)
        origin = SimpleNamespace(name="made", parameters=2_000_000, taps=(TAP,), fingerprint="0" * 64)
        job = Job(origin, [f"item {i}" for i in range(n)], target, features, tmp_path / "trainings")  # type: ignore[arg-type]
        bar = frozen(SourceView(features, origin, (TAP,), "last"), "ridge")  # type: ignore[arg-type]
        return Case(problem, job, hidden, Scored.of(bar, bar.crossfit(problem), problem))

    return make
