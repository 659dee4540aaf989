"""The race of what moves weights: tried in rungs, in the order of expected gain a second, until the time is up.

Successive halving (Jamieson & Talwalkar 2016), taken best first as in its asynchronous form (Li et al. 2020): a
candidate is tried on a subset of the labels where there are many, then on one fold, on two, on all. After each rung it
is compared with the best model that moves no weights, pairwise on the same items, and what is believed of its gain is
updated. The hopeless are dropped; of the rest the one with the largest expected improvement for each second that it
still needs goes on, as long as the best of those that were started could still be finished after its rung: what is
trained in part ships nothing. Where time is too short for all folds, as many are trained as can be, if they test enough
items to tell a gain; where it is too short for those, the trainings are read off earlier.

Without a time limit there is nothing to save: every candidate gets all folds, in the given order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headstart.plan.crossfit import OutOfFold, Problem
from headstart.plan.failure import left_out
from headstart.plan.pace import Pace
from headstart.plan.runner import Runner, points
from headstart.plan.scored import Scored
from headstart.plan.steps import Plan
from headstart.plan.subset import subset
from headstart.plan.trial import Trial
from headstart.plan.tuned import Tuned


@dataclass(frozen=True)
class Next:
    """What came of a rung.

    Attributes:
        goes_on: whether there is another one.
        outcome: in words.
    """

    goes_on: bool
    outcome: str


@dataclass(eq=False)
class TuningRace:
    """Runs candidates that move weights.

    Attributes:
        bar: the best model that moves no weights: what each candidate is compared with.
        ships: told of each candidate that has all its folds; True if that is what ships now.
        plan: where the steps are written down.
        deadline: time.perf_counter() value at which the race ends; None for no limit.
    """

    problem: Problem
    bar: Scored
    ships: Callable[[Scored], bool]
    plan: Plan
    deadline: float | None = None
    _pace: Pace = field(default_factory=Pace)
    _best: float = 0.0
    _said_of_few: OutOfFold | None = None

    def run(self, candidates: Sequence[Tuned]) -> None:
        """Try the candidates until none is left, or no time.

        Raises:
            KeyboardInterrupt: the user has had enough; what was done stands in the plan.
        """
        few = None if self.deadline is None else subset(self.problem)
        runners = []
        for candidate in candidates:
            try:
                runners.append(Runner.of(candidate, self.problem, few, 1.0 - self.bar.mean))
            except Exception as error:
                self._leave_out(f"{candidate.label} · {candidate.strategy}", error)
        while (runner := self._next(runners)) is not None:
            if not self._step(runner):
                runners.remove(runner)

    def _next(self, runners: list[Runner]) -> Runner | None:
        """The one to take a step: of those that fit the time that is left, or could if they turn out to be faster."""
        if self.deadline is None:
            return runners[0] if runners else None
        left = max(self.deadline - time.perf_counter(), 0.0)
        fitting = [runner for runner in tuple(runners) if self._fits(runner, left, runners)]
        if not fitting:
            self._leave(runners, left)
            return None
        best = max(fitting, key=self._promise)
        ahead = max((one for one in fitting if one.started), key=self._promise, default=best)
        room = left - best.rung_seconds(self._pace) >= ahead.seconds(self._pace)
        return best if best is ahead or room else ahead

    def _fits(self, runner: Runner, left: float, runners: list[Runner]) -> bool:
        """True where there is time for it; one whose strategy cannot even say how long it takes is removed."""
        try:
            return runner.fit_into(left, self._pace)
        except Exception as error:
            runners.remove(runner)
            self._leave_out(runner.name, error)
            return False

    def _leave_out(self, name: str, error: Exception) -> None:
        """Say that a candidate failed before it was trained."""
        self.plan.add(name, "not tried", 0.0, left_out(error))

    def _promise(self, runner: Runner) -> float:
        """The expected improvement for each second that it still needs."""
        return runner.belief.improvement(self._best) / runner.seconds(self._pace)

    def _leave(self, runners: Sequence[Runner], left: float) -> None:
        """Say which ones the time is too short for."""
        for runner in runners:
            why = "tried in part" if runner.started else "not tried"
            outcome = f"about {runner.seconds(self._pace):.0f} s needed at least, {left:.0f} s left"
            self.plan.add(runner.name, why, 0.0, outcome)

    def _step(self, runner: Runner) -> bool:
        """Take the runner's next rung; False when it is done with."""
        start, why = time.perf_counter(), self._reason(runner)
        came = Next(False, "interrupted")
        try:
            came = self._rung(runner)
        except Exception as error:
            came = Next(False, left_out(error))
        finally:
            self.plan.add(runner.name, why, time.perf_counter() - start, came.outcome)
        return came.goes_on

    def _reason(self, runner: Runner) -> str:
        if self.deadline is None:
            return "asked for"
        known = "gain believed" if runner.started else "gain expected"
        belief, needed = runner.belief, runner.seconds(self._pace)
        folds = len(self.problem.folds)
        less = [f"{runner.goal} of {folds} folds"] if runner.goal < folds else []
        less += [f"{runner.trial.share:.0%} of the epochs"] if runner.trial.share < 1 else []
        return f"{known} {points(belief.mean, belief.spread)}, {', '.join([*less, f'about {needed:.0f} s'])}"

    def _rung(self, runner: Runner) -> Next:
        small = runner.small
        until = None if self.deadline is None else self.deadline - runner.last_seconds(self._pace)
        if small is not None:
            if not runner.train(small, 0, until, self._pace):
                return Next(False, "out of time")
            return self._judge(runner, small)
        for k in runner.next_folds(everything=self.deadline is None):
            if not runner.train(runner.trial, k, until, self._pace):
                runner.goal = len(runner.trial.learned)
                break
        if runner.goal < runner.enough:
            return Next(False, "out of time")
        return self._judge(runner, runner.trial)

    def _judge(self, runner: Runner, trial: Trial) -> Next:
        gain = runner.compare(trial, self.bar.candidate, self._said(trial))
        if runner.complete:
            scored = Scored.of(runner.candidate, runner.trial.out_of_fold(), self.problem.first(runner.goal))
            if not self.ships(scored):
                return Next(False, f"{gain}, not enough to ship")
            self._best = max(self._best, runner.gain)
            return Next(False, f"{gain}, ships")
        if self.deadline is not None and runner.hopeless(self._best):
            return Next(False, f"{gain}, dropped")
        return Next(True, f"{gain}, goes on")

    def _said(self, trial: Trial) -> OutOfFold:
        """What the bar says of the items of a trial, learned from as many labels."""
        if trial.problem is self.problem:
            return self.bar.out_of_fold
        self._said_of_few = self._said_of_few or self.bar.candidate.crossfit(trial.problem)
        return self._said_of_few
