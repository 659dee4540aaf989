"""A candidate in the race of what moves weights: its rungs, what it still needs, what is believed of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
        started: True once anything was trained.
    """

    candidate: Tuned
    trial: Trial
    small: Trial | None
    prior: Belief
    belief: Belief
    hoped: float = math.inf
    started: bool = False

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
        return cls(candidate, Trial(learner, job, problem), small, prior, prior)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.candidate.label} · {self.candidate.strategy}"

    @property
    def complete(self) -> bool:
        """True with all folds."""
        return len(self.trial.learned) == len(self.trial.problem.folds)

    def hopeless(self, over: float) -> bool:
        """True where neither what is believed nor what was measured reaches a gain of `over`, with its error added."""
        return self.belief.hopeless(over) or self.hoped < over

    def next_folds(self, *, everything: bool) -> list[int]:
        """The folds of the next rung, or all that are left."""
        left = [k for k in range(len(self.trial.problem.folds)) if k not in self.trial.learned]
        return left if everything or len(self.trial.learned) >= _SINGLE else left[:1]

    def seconds(self, pace: Pace) -> float:
        """What it still needs until it could ship: its trainings to come, and the one on everything."""
        folds = self.trial.problem.folds
        to_come = [self._estimate(self.trial, k) for k in range(len(folds)) if k not in self.trial.learned]
        to_come += [self._estimate(self.trial, None)]
        to_come += [] if self.small is None else [self._estimate(self.small, 0)]
        return sum(pace.seconds(self.candidate.learner.name, one) for one in to_come) + _SHIPPING_SECONDS

    def shorten(self) -> bool:
        """Read its trainings off at an earlier epoch, so that they take less time; False where that cannot be."""
        if self.started or not self.trial.shorten():
            return False
        if self.small is not None:
            self.small.shorten()
        return True

    def train(self, trial: Trial, fold: int, deadline: float | None, pace: Pace) -> bool:
        """Train one fold of a trial; False where the time ran out."""
        self.started = True
        whole = trial.train(fold, deadline)
        pace.record(self.candidate.learner.name, self._estimate(trial, fold), trial.seconds[-1])
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


def points(gain: float, error: float) -> str:
    """A gain in hundredths of the metric."""
    return f"{100 * gain:+.1f} ± {100 * error:.1f} points" if math.isfinite(error) else f"{100 * gain:+.1f} points"
