"""The race: each source's layers, the baselines, other heads on the best layers, sources fused.

Every candidate is scored on the same folds. What would not fit the time left is not started, and said.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from headstart import registry
from headstart.plan.bases import Bases
from headstart.plan.candidates import (
    BLOCK_HEADS,
    KERNEL_FEW,
    KERNEL_HEAD,
    SCREENING_HEAD,
    Candidate,
    Frozen,
    baselines,
    frozen,
)
from headstart.plan.crossfit import CrossFit, Problem
from headstart.plan.parallel import each, import_learners
from headstart.plan.scored import Scored
from headstart.plan.views import FusedView, SourceView, View, layer_sets
from headstart.progress import SILENT, Bar, Progress

# Working memory that a candidate may have, where nobody says how much is left.
MOST_BYTES = 1_000_000_000


@dataclass(eq=False)
class Race:
    """Runs candidates on one problem and keeps what they scored.

    Attributes:
        deadline: time.perf_counter() value after which nothing new starts; None for no limit by the clock.
        allowance: estimated seconds that transfer candidates may take together; None for no limit. Estimates are the
            same on every machine, so without a deadline the same candidates run everywhere. Baselines are not counted
            and always run: what is compared with must not depend on what it is compared with.
        most_bytes: working memory of one candidate, beside the features.
        skipped: names of candidates that were not started, with the reason.
        spent: of the allowance.
        bases: what heads factorised, for other heads on the same layers; None where there are none.
    """

    problem: Problem
    deadline: float | None = None
    allowance: float | None = None
    most_bytes: int = MOST_BYTES
    progress: Progress = SILENT
    scored: list[Scored] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    spent: float = 0.0
    bases: Bases | None = None

    def run(self, candidates: Sequence[Frozen]) -> list[Scored]:
        """Cross-fit each candidate that fits the time left, side by side; the results, which are also kept."""
        started: list[tuple[Frozen, CrossFit]] = []
        if not candidates:
            return []
        folds = len(self.problem.folds)
        sizes = [candidate.estimated_bytes(self.problem) for candidate in candidates]
        largest = max((size for size in sizes if size <= self.most_bytes), default=0)
        if self.bases is not None:
            self.bases.make_room(self.most_bytes - largest)
        # Many cores must not hold many times what one candidate's folds would.
        most = max(folds, self.most_bytes // max(largest, 1))
        label = candidates[0].label if len(candidates) == 1 else f"{len(candidates)} candidates"
        with self.progress.bar("score", label, len(candidates) * folds, "fits") as bar:
            runs = [(candidate, candidate.fits(self._shared(candidate))) for candidate in candidates]
            for beside, some in groupby(runs, key=lambda one: one[1].beside):
                each(_fit, self._start(some, started, bar), bar.advance, beside=beside, most=most)
        results = [Scored.of(candidate, run.finish(), self.problem) for candidate, run in started]
        self.scored += results
        return results

    def _start(
        self, runs: Iterable[tuple[Frozen, CrossFit]], started: list[tuple[Frozen, CrossFit]], bar: Bar
    ) -> Iterator[tuple[CrossFit, int]]:
        """The fits of what is worth starting when its turn comes; what is started is added to `started`."""
        folds = len(self.problem.folds)
        for candidate, run in runs:
            # A side with nothing scored could not be compared: its first candidate always runs.
            first = not any(one.transfer == candidate.transfer for one in self._known(started))
            if not (first or self._fits(candidate)):
                bar.advance(folds)
                continue
            if candidate.head_name == "boosted-trees":
                import_learners()
            run.reserve()
            started.append((candidate, run))
            self.spent += candidate.estimated_seconds(self.problem) if candidate.transfer else 0.0
            yield from ((run, fold) for fold in range(folds))

    def _shared(self, candidate: Frozen) -> Problem:
        """The problem as a candidate's fits see it."""
        return replace(self.problem, bases=self.bases) if candidate.transfer else self.problem

    def _known(self, started: list[tuple[Frozen, CrossFit]]) -> list[Candidate]:
        """What was scored, or will be."""
        return [one.candidate for one in self.scored] + [candidate for candidate, _ in started]

    def _fits(self, candidate: Candidate) -> bool:
        """True if there is time and memory for it; what does not fit is said."""
        room = candidate.estimated_bytes(self.problem)
        if room > self.most_bytes:
            return self._leave_out(
                candidate, f"about {room / 1e6:.0f} MB needed, {self.most_bytes / 1e6:.0f} left of what a fit may take"
            )
        needed = candidate.estimated_seconds(self.problem)
        if self.allowance is not None and candidate.transfer and needed > (left := self.allowance - self.spent):
            most = f"{max(left, 0):.0f} of {self.allowance:.0f} s left that a fit without --budget takes"
            return self._leave_out(candidate, f"about {needed:.0f} s estimated, {most}")
        if self.deadline is not None and needed > (left := max(self.deadline - time.perf_counter(), 0)):
            return self._leave_out(candidate, f"about {needed:.0f} s needed, {left:.0f} s left")
        return True

    def _leave_out(self, candidate: Candidate, reason: str) -> bool:
        self.skipped.append(f"{candidate.label} · {candidate.strategy} was not tried: {reason}")
        return False


def _fit(job: tuple[CrossFit, int]) -> None:
    run, fold = job
    run.fit(fold)


def run_all(
    race: Race, plain: View, sources: Sequence[SourceView], heads: Sequence[str]
) -> tuple[list[Scored], list[Scored]]:
    """Every candidate, cheap and telling first: each source's layers, the baselines, other heads, sources fused.

    Args:
        plain: the view that needs no source.
        sources: one view a source, of all its taps.
        heads: the heads asked for. Layers are compared with ridge, the cheapest to cross-fit, where it is among them.

    Returns:
        what the transfer candidates and what the baselines scored.
    """
    screening = SCREENING_HEAD if SCREENING_HEAD in heads else heads[0]
    race.bases = Bases.between(registry.get("headstart.heads", head) for head in heads)
    sets = [[view] if screening in BLOCK_HEADS else _layer_sets(view) for view in sources]
    opponents = baselines(plain, race.problem.target.task, race.problem.target.n_outputs)
    race.run([*(frozen(layers, screening) for some in sets for layers in some), *opponents])
    best = [_winner(race.scored, some) for some in sets]
    if race.bases is not None:
        race.bases.only([one for view in best for one in (view, _last(view))])
    few = len(race.problem.target) <= KERNEL_FEW
    pairs = zip(best, sources, strict=True)
    race.run([one for view, source in pairs for one in _others(view, source, heads, screening, few=few)])
    race.bases = None
    if len(best) > 1:
        fused = FusedView(tuple(best))
        race.run([frozen(fused, head) for head in dict.fromkeys((screening, KERNEL_HEAD)) if head in heads])
    transfer, baseline = [[one for one in race.scored if one.candidate.transfer == side] for side in (True, False)]
    return transfer, baseline


def _others(best: SourceView, source: SourceView, heads: Sequence[str], screening: str, *, few: bool) -> list[Frozen]:
    """The candidates of a source that follow the choice of its layers.

    Args:
        best: the layers that scored best with the head `screening`.
        source: all of its layers.
        few: whether kernel ridge is worth its time on every layer set.
    """
    rest = [head for head in heads if head != screening]
    others = []
    if KERNEL_HEAD in rest:
        others += [frozen(layers, KERNEL_HEAD) for layers in (_layer_sets(source) if few else [best])]
    others += [frozen(best, head) for head in rest if head not in (*BLOCK_HEADS, KERNEL_HEAD)]
    if "logistic" in heads and best.detail != "last":
        # What ridge makes of a layer set is not always what logistic regression does: the usual probe is tried too.
        others.append(frozen(_last(best), "logistic"))
    # These choose among the layers themselves.
    return others + [frozen(source, head) for head in rest if head in BLOCK_HEADS and len(source.taps) > 1]


def _layer_sets(view: SourceView) -> list[SourceView]:
    return [SourceView(view.features, view.origin, taps, name) for name, taps in layer_sets(view.taps).items()]


def _last(view: SourceView) -> SourceView:
    """The last layer of a view's source."""
    return SourceView(view.features, view.origin, layer_sets(view.origin.taps)["last"], "last")


def _winner(scored: Sequence[Scored], sets: Sequence[SourceView]) -> SourceView:
    """The layer set that scored best, the first where none was scored; ties go to the smaller loss."""

    def merit(view: SourceView) -> tuple[float, float]:
        of_it = (one for one in scored if isinstance(one.candidate, Frozen) and one.candidate.view is view)
        return max(((one.mean, -one.loss) for one in of_it), default=(-math.inf, 0.0))

    return max(sets, key=merit)
