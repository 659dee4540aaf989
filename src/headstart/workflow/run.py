"""`headstart fit` and `hs.fit`: read, embed, race, decide, write, check what was written; then try more."""

from __future__ import annotations

import time
from typing import Any

from headstart.data.dataset import FILES
from headstart.errors import OptionError
from headstart.evidence.metrics import class_weights
from headstart.plan.candidates import MOST_BOOSTED
from headstart.plan.crossfit import Problem
from headstart.plan.parallel import import_learners_meanwhile
from headstart.plan.race import Race, run_all
from headstart.plan.steps import Plan
from headstart.plan.strategies import asked_for
from headstart.progress import SILENT, Progress
from headstart.workflow.clock import Clock
from headstart.workflow.gather import Gathered, gather
from headstart.workflow.options import FitOptions
from headstart.workflow.result import FitResult
from headstart.workflow.shipping import Shipping
from headstart.workflow.tuning import Tuning

# With a budget, and weights to move, what moves none is tried for this long, or for this part of what is left or of the
# time that embedding took.
_PATIENCE, _PATIENCE_SHARE = 60.0, 0.25
# Without a budget no clock decides: heads on sources may take so many estimated seconds (two quick cores need half of
# them), or that part of what embedding is estimated to take, an item, by modality.
_ALLOWANCE, _EMBED_SECONDS = 120.0, {"image": 0.012, "text": 0.003, "sound": 0.05}
# A fit is meant to stay below this much resident memory; the libraries alone take the second; each candidate may have
# the third in any case.
_MOST_BYTES, _PROCESS_BYTES, _LEAST_ROOM = 1_400_000_000, 450_000_000, 300_000_000


def fit(data: Any, options: FitOptions | None = None, progress: Progress = SILENT) -> FitResult:
    """Learn from labelled data, prove what transfer brought, write the artefact.

    Args:
        data: a folder of class folders, a table file, or a DataFrame.

    Raises:
        InputError: the data, an option or a source cannot be used.
        HeadstartError: no engine runs, the disk is full.
    """
    from headstart.data.read import read

    options = options or FitOptions()
    clock = Clock()
    dataset = read(
        data,
        modality=options.modality,
        task=options.task,
        input=options.input,
        label=options.label,
        group=options.group,
        time=options.time,
    )
    assert dataset.target is not None
    asked = asked_for(
        options.strategies, dataset.target.task, len(dataset) / dataset.target.n_outputs, dataset.modality
    )
    for note in dataset.notes:
        progress.say(note)
    clock.lap("read")
    if dataset.target.n_outputs <= MOST_BOOSTED:
        import_learners_meanwhile()
    gathered = gather(dataset, options, progress, clock)
    problem = _problem(gathered, options)
    tuning = Tuning.of(gathered, problem, options, asked, progress)
    race = Race(problem, most_bytes=_room(gathered), progress=progress)
    if options.budget is None:
        race.allowance = _allowance(gathered)
    else:
        race.deadline = _deadline(options.budget, clock, more=bool(tuning.candidates))
    run_all(race, gathered.plain, gathered.sources, asked.heads)
    notes = [*gathered.notes, *race.skipped, *tuning.notes]
    shipping = Shipping(gathered, problem, options, clock, Plan(progress), race.scored, notes)
    result = shipping.ship()
    return tuning.run(shipping) if tuning.candidates else result


def _allowance(gathered: Gathered) -> float:
    """Estimated seconds for candidates, from what is to be learned from alone: the same on every machine and run."""
    embedding = _EMBED_SECONDS.get(gathered.dataset.modality, 0.0) * len(gathered.dataset) * len(gathered.sources)
    return max(_ALLOWANCE, _PATIENCE_SHARE * embedding)


def _deadline(budget: float, clock: Clock, *, more: bool) -> float:
    """When the last candidate that moves no weights may start.

    Args:
        more: whether others come after them.
    """
    now = time.perf_counter()
    patience = max(_PATIENCE, _PATIENCE_SHARE * clock.stages.get("embed", 0.0))
    end = clock.start + budget
    return min(end, now + max(patience, _PATIENCE_SHARE * (end - now))) if more else end


def _room(gathered: Gathered) -> int:
    """Working memory for one candidate: what a fit may take, less the process itself and the features it holds."""
    held = sum(view.features.held_bytes for view in gathered.sources)
    held += 2 * len(gathered.dataset) * gathered.plain.width if gathered.dataset.modality in FILES else 0
    return max(_MOST_BYTES - _PROCESS_BYTES - held, _LEAST_ROOM)


def _problem(gathered: Gathered, options: FitOptions) -> Problem:
    """Folds and weights: the same for every candidate."""
    from headstart.data.splits import folds, usual_folds

    dataset, target = gathered.dataset, gathered.dataset.target
    assert target is not None
    k = usual_folds(len(dataset), dataset.groups if dataset.times is None else None)
    splits = folds(target, groups=gathered.groups, times=dataset.times, k=k, seed=options.seed)
    weights = None
    if options.balance:
        if not target.exclusive:
            raise OptionError(f"balance is for tasks with exclusive classes, not {target.task}: leave it out")
        weights = class_weights(target)
    return Problem(target, splits, gathered.groups, weights, options.seed)
