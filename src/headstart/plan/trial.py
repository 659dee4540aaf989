"""A strategy on its way through the folds of a problem: what it said so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from headstart.adapt.base import Job, Learned, Reading, Strategy
from headstart.plan.crossfit import OutOfFold, Problem
from headstart.plan.readings import read_off


@dataclass(eq=False)
class Trial:
    """Trainings of one strategy on one source, fold by fold.

    Attributes:
        readings: where every fold is read: the same for all, as their trainings are about as long.
        share: of the strategy's own epochs that is trained.
        learned: position of a fold -> its test items' scores at each reading.
        seconds: wall time of each training, those cut short too.
    """

    learner: Strategy
    job: Job
    problem: Problem
    readings: tuple[Reading, ...] = field(init=False)
    share: float = 1.0
    learned: dict[int, Learned] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lengthen()

    def lengthen(self) -> None:
        """Read wherever the strategy would. Before anything is trained."""
        longest = max(len(fold.train) for fold in self.problem.folds)
        self.readings, self.share = tuple(self.learner.readings(self.job, longest)), 1.0

    def shorten(self) -> bool:
        """Leave out the readings of the last epoch; False where no others are left. Before anything is trained."""
        last = max(reading.epoch for reading in self.readings)
        kept = tuple(reading for reading in self.readings if reading.epoch < last)
        if not kept or kept[-1].epoch == 0:
            return False
        self.share *= max(reading.epoch for reading in kept) / last
        self.readings = kept
        return True

    def train(self, k: int, deadline: float | None = None) -> bool:
        """Train fold k. False, and nothing kept, where the deadline cut it short: that is not what a whole one gives.

        Raises:
            EngineError: the graph cannot be trained.
            MissingLayerError: a package is absent.
        """
        fold, start = self.problem.folds[k], time.perf_counter()
        learned = self.learner.learn(replace(self.job, deadline=deadline), fold.train, fold.test, self.readings)
        now = time.perf_counter()
        self.seconds.append(now - start)
        if deadline is not None and now >= deadline:
            return False
        # The moved weights of a fold are of no use to anybody, and many.
        self.learned[k] = replace(learned, moved=replace(learned.moved, weights={}))
        return True

    @property
    def part(self) -> Problem:
        """The problem, with only those folds that were trained."""
        return replace(self.problem, folds=[self.problem.folds[k] for k in sorted(self.learned)])

    def out_of_fold(self) -> OutOfFold:
        """What was said of the items of the folds that were trained."""
        trained = sorted(self.learned)
        by_fold = {k: self.learned[k].scores for k in trained}
        off = read_off(self.problem.target, self.problem.folds, by_fold, self.readings, self.problem.weights)
        notes = dict.fromkeys(note for k in trained for note in self.learned[k].notes)
        return OutOfFold(off.scores, off.probabilities, sum(self.seconds), off.calibration, off.reading, tuple(notes))
