"""--strategy: which heads on frozen sources, and which ways to move weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart import registry
from headstart.adapt.base import Job, Strategy
from headstart.data.dataset import Modality
from headstart.engines.memory import Choice
from headstart.plan.candidates import frozen_heads
from headstart.plan.failure import reason_of
from headstart.plan.tuned import FROM_SCRATCH, Tuned
from headstart.tasks import Task

GROUP = "headstart.strategies"


@dataclass(frozen=True)
class Asked:
    """What --strategy asks for.

    Attributes:
        heads: to try on frozen views. They are the floor: without a name for them, those that suit the data.
        tuned: registered names of strategies that move weights; empty where none was named.
        only_frozen: True where all that was named is frozen: a budget then moves no weights.
    """

    heads: tuple[str, ...]
    tuned: tuple[str, ...] = ()
    only_frozen: bool = False


def asked_for(
    strategies: Sequence[str], task: Task, items_a_class: float = 0.0, modality: Modality | None = None
) -> Asked:
    """Sort the names of --strategy; see `frozen_heads`.

    Raises:
        OptionError: one of them does not exist.
    """
    known = registry.names(GROUP)
    tuned = tuple(dict.fromkeys(name for name in strategies if name in known))
    named = [name for name in strategies if name not in known]
    heads = tuple(frozen_heads(named, task, items_a_class, known, modality))
    return Asked(heads, tuned, only_frozen=bool(named) and not tuned)


@dataclass(frozen=True, eq=False)
class Tunable:
    """What can move weights here.

    Attributes:
        candidates: source x strategy, the sources in the given order.
        reasons: why others cannot, one line each.
    """

    candidates: tuple[Tuned, ...]
    reasons: tuple[str, ...]


def tunable(names: Sequence[str], jobs: Sequence[tuple[Job, Choice]]) -> Tunable:
    """Each strategy on each source, where it can serve; one that cannot serve any source has its reason said.

    Args:
        names: registered strategies; empty for all that start from what the source knows.
        jobs: a job a source, with the engine that runs the source.
    """
    names = names or tuple(name for name in registry.names(GROUP) if name != FROM_SCRATCH)
    found: list[Tuned] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for job, choice in jobs:
        for name in names:
            try:
                learner: Strategy = registry.get(GROUP, name)
                reason = learner.reason_not(job)
            except Exception as error:
                reason = reason_of(error)
            if reason is None:
                found.append(Tuned(job, learner, choice))
            else:
                reasons.setdefault((job.source.name, reason), []).append(name)
    lines = (f"{source}: {', '.join(whom)} not tried: {reason}" for (source, reason), whom in reasons.items())
    return Tunable(tuple(found), tuple(lines))
