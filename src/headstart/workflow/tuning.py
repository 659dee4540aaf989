"""Moving weights after the first model is saved: what is tried, for how long, and how it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headstart import registry
from headstart.errors import HeadstartError
from headstart.features.cache import budget
from headstart.model.temporary import TemporaryFolder
from headstart.optional import has, install_line
from headstart.plan.crossfit import Problem
from headstart.plan.strategies import GROUP, Asked, tunable
from headstart.plan.tuned import Tuned
from headstart.plan.tuning import TuningRace
from headstart.progress import Progress
from headstart.workflow.gather import Gathered
from headstart.workflow.options import FitOptions
from headstart.workflow.result import FitResult
from headstart.workflow.shipping import Shipping
from headstart.workflow.trainings import jobs, make_room


@dataclass(frozen=True, eq=False)
class Tuning:
    """What moves weights in a fit.

    Attributes:
        candidates: source x strategy; empty where nothing is to move.
        notes: why nothing is, or what cannot be.
        owner: of the folder of trainings, where they are not kept.
    """

    candidates: tuple[Tuned, ...]
    notes: tuple[str, ...]
    progress: Progress
    owner: TemporaryFolder | None = None

    @classmethod
    def of(cls, gathered: Gathered, problem: Problem, options: FitOptions, asked: Asked, progress: Progress) -> Tuning:
        """What was asked for by name, or what a budget allows."""
        if not gathered.sources or not registry.names(GROUP) or asked.only_frozen:
            return cls((), (), progress)
        if options.budget is None and not asked.tuned:
            return cls((), _how(), progress)
        owner = None if options.cache and budget() > 0 else TemporaryFolder()
        scratch = None if owner is None else owner.path
        found = tunable(asked.tuned, jobs(gathered, problem, scratch, progress))
        for reason in found.reasons:
            progress.say(reason)
        return cls(found.candidates, found.reasons, progress, owner)

    def run(self, shipping: Shipping) -> FitResult:
        """Race the candidates against what was saved; the file is replaced where one is better."""
        deadline = None
        if shipping.options.budget is not None:
            deadline = shipping.clock.start + shipping.options.budget
        self._announce(shipping, deadline)
        make_room({candidate.job.folder for candidate in self.candidates})
        bar = max(shipping.scored, key=lambda one: (one.mean, -one.loss))
        race = TuningRace(shipping.problem, bar, shipping.add, shipping.plan, deadline)
        interrupted = False
        try:
            race.run(self.candidates)
        except KeyboardInterrupt:
            interrupted = True
        return replace(_written(shipping), interrupted=interrupted)

    def _announce(self, shipping: Shipping, deadline: float | None) -> None:
        saved = "a first model is ready" if shipping.options.out is None else f"saved {shipping.path}"
        more = ", ".join(dict.fromkeys(candidate.strategy for candidate in self.candidates))
        if deadline is not None:
            end = datetime.now() + timedelta(seconds=max(deadline - time.perf_counter(), 0.0))
            more = f"more until {end:%H:%M:%S}"
        self.progress.say(f"{saved}; trying {more}")


def _written(shipping: Shipping) -> FitResult:
    """The model with all the evidence; where that cannot be written, as it was written last."""
    try:
        return shipping.ship()
    except (HeadstartError, OSError, KeyboardInterrupt) as error:
        assert shipping.result is not None, "a first model was saved"
        reason = str(error) or "interrupted"
        shipping.result.report["notes"].append(f"the file lacks the last of the evidence: {reason}")
        return shipping.result


def _how() -> tuple[str, ...]:
    """That weights were not moved, and what would."""
    torch = "" if has("torch") else f", with torch ({install_line('torch')})"
    return (f"no weights of the source were moved: --budget 5m tries that{torch}",)
