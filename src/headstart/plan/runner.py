"""A candidate in the race of what moves weights: its rungs, what it still needs, what is believed of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headstart import digits
from headstart.evidence.intervals import paired_difference
from headstart.plan.belief import Belief
from headstart.plan.candidates import Candidate
from headstart.plan.crossfit import OutOfFold, Problem
from headstart.plan.pace import Pace
from headstart.plan.scored import Scored
from headstart.plan.trial import Trial
from headstart.plan.tuned import Tuned

# A gain on few labels says this much less of the gain on all: a part of the prior's spread, as a standard deviation.
_SUBSET_DOUBT = 0.5
# A rung on few labels that does not save this factor of a fold's training is left out.
_WORTH = 3.0
# So many folds are trained one by one before the rest is trained at a stretch.
_SINGLE = 2
# Where time is short, folds that test so many items and groups are enough to tell a gain of a few points.
ENOUGH, _ENOUGH_GROUPS = 500, 20
# Writing and checking a model.
_SHIPPING_SECONDS = 2.0
# Half the width of a 95 % interval in standard errors.
_Z = 1.96


@dataclass(eq=False)
class Runner:
    """One candidate.

    Attributes:
        trial: its folds.
        small: its trial on few labels; None where that is over, or would save little.
        prior, belief: of its gain in the primary metric over the bar: before a fold was trained, and now.
        hoped: the most that was measured leaves to hope for, whatever was believed before.
        gain: what was measured last.
        goal: how many folds it is to be trained for, the first ones.
        started: True once anything was trained.
        prepared: how many items were prepared for its trainings.
    """

    candidate: Tuned
    trial: Trial
    small: Trial | None
    prior: Belief
    belief: Belief
    hoped: float = math.inf
    gain: float = 0.0
    goal: int = 0
    started: bool = False
    prepared: int = 0

    @classmethod
    def of(cls, candidate: Tuned, problem: Problem, few: Problem | None, errors: float) -> Runner:
        """At the start.

        Args:
            few: the problem on few labels, if there is such a rung.
            errors: what the bar lacks to a perfect score.
        """
        learner, job = candidate.learner, candidate.job
        prior, small = Belief.before(learner.name, errors), None
        if few is not None:
            saved = learner.estimated_seconds(job, len(problem.folds[0].train)) / _WORTH
            if learner.estimated_seconds(job, len(few.folds[0].train)) <= saved:
                small = Trial(learner, job, few)
        return cls(candidate, Trial(learner, job, problem), small, prior, prior, goal=len(problem.folds))

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.candidate.label} · {self.candidate.strategy}"

    @property
    def complete(self) -> bool:
        """True with all folds that it is to be trained for."""
        return len(self.trial.learned) >= self.goal

    def hopeless(self, over: float) -> bool:
        """True where neither what is believed nor what was measured reaches a gain of `over`, with its error added."""
        return self.belief.hopeless(over) or self.hoped < over

    def next_folds(self, *, everything: bool) -> list[int]:
        """The folds of the next rung, or all that are left."""
        left = list(range(len(self.trial.learned), self.goal))
        return left if everything or len(self.trial.learned) >= _SINGLE else left[:1]

    def seconds(self, pace: Pace) -> float:
        """What it still needs until it could ship: its trainings to come, and the one on everything."""
        to_come = [self._estimate(self.trial, k) for k in range(len(self.trial.learned), self.goal)]
        to_come += [] if self.small is None else [self._estimate(self.small, 0)]
        to_come.append(self._preparation(len(self.trial.problem.target)))
        return sum(pace.seconds(self.candidate.learner.name, one) for one in to_come) + self.last_seconds(pace)

    def rung_seconds(self, pace: Pace) -> float:
        """What its next rung takes."""
        if self.small is not None:
            to_come = [self._estimate(self.small, 0)]
        else:
            to_come = [self._estimate(self.trial, k) for k in self.next_folds(everything=False)]
        to_come.append(self._preparation(len(self.trial.problem.target)))
        return sum(pace.seconds(self.candidate.learner.name, one) for one in to_come)

    def last_seconds(self, pace: Pace) -> float:
        """What training on everything, and shipping that, takes."""
        return pace.seconds(self.candidate.learner.name, self._estimate(self.trial, None)) + _SHIPPING_SECONDS

    def fit_into(self, left: float, pace: Pace) -> bool:
        """Aim at as much as there is time for; False where it is too short for anything that would tell.

        All folds if possible. Else fewer, as long as they test enough items to tell a gain, and none on few labels
        before; else fewer epochs.
        """
        if not self.started:
            self.trial.lengthen()  # what was measured since may leave time for all epochs
        self.goal = len(self.trial.problem.folds)
        if self.seconds(pace) <= left:
            return True
        self.small = None
        while True:
            for goal in range(len(self.trial.problem.folds), max(self.enough, len(self.trial.learned)) - 1, -1):
                self.goal = goal
                if self.seconds(pace) <= left:
                    return True
            if not self._shorten():
                return False

    @cached_property
    def enough(self) -> int:
        """The fewest folds that test ENOUGH items (and groups, where there are some); all where none do."""
        problem = self.trial.problem
        for folds in range(1, len(problem.folds)):
            tested = problem.first(folds).tested()
            groups = _ENOUGH_GROUPS if problem.groups is None else len(np.unique(problem.groups[tested]))
            if len(tested) >= ENOUGH and groups >= _ENOUGH_GROUPS:
                return folds
        return len(problem.folds)

    def _shorten(self) -> bool:
        """Read its trainings off at an earlier epoch, so that they take less time; False where that cannot be."""
        return not self.started and self.trial.shorten()

    def train(self, trial: Trial, fold: int, deadline: float | None, pace: Pace) -> bool:
        """Train one fold of a trial; False where the time ran out."""
        self.started = True
        estimated = self._estimate(trial, fold)
        given = trial.problem.folds[fold]
        items = max(len(given.train) + len(given.test), self.prepared)
        estimated += self._preparation(items)
        whole = trial.train(fold, deadline)
        self.prepared = items
        if not (whole and trial.learned[fold].known):  # one that an earlier fit finished says nothing of the pace
            pace.record(self.candidate.learner.name, estimated, trial.seconds[-1])
        return whole

    def compare(self, trial: Trial, bar: Candidate, said: OutOfFold) -> str:
        """Update the belief by the paired gain over the bar on the items that the trial's folds test.

        Args:
            said: what the bar said of them.

        Returns:
            the gain with its standard error, in words.
        """
        part = trial.part
        tested = part.tested()
        groups = None if part.groups is None else part.groups[tested]
        ours, theirs = Scored.of(self.candidate, trial.out_of_fold(), part), Scored.of(bar, said, part)
        gain = paired_difference(ours.item_scores, theirs.item_scores, groups)
        error = (gain.high - gain.low) / (2 * _Z)
        self.gain = gain.value
        if trial is self.small:
            doubted = math.hypot(error, _SUBSET_DOUBT * self.prior.spread)
            self.belief = self.prior = self.prior.after(gain.value, doubted)
            self.small, self.hoped = None, gain.value + 2 * error
            return f"{points(gain.value, error)} with {len(part.folds[0].train)} labels"
        self.belief, self.hoped = self.prior.after(gain.value, error), gain.value + error
        folds = len(self.trial.problem.folds)
        return f"{points(gain.value, error)} on {len(part.folds)} of {folds} folds"

    def _estimate(self, trial: Trial, fold: int | None) -> float:
        """Seconds of training one fold, or of None, everything, before correction."""
        problem = trial.problem
        rows = len(problem.target) if fold is None else len(problem.folds[fold].train)
        return self.candidate.learner.estimated_seconds(self.candidate.job, rows) * trial.share

    def _preparation(self, items: int) -> float:
        """Seconds until so many items are prepared, before correction."""
        learner, job = self.candidate.learner, self.candidate.job
        return learner.preparing_seconds(job, items) - learner.preparing_seconds(job, self.prepared)


def points(gain: float, error: float) -> str:
    """A gain in hundredths of the metric."""
    spread = f" ± {digits.points(error)}" if math.isfinite(error) else ""
    return f"{digits.points(gain, '+')}{spread} points"
