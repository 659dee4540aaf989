"""The race: each source's layers, the baselines, other heads on the best layers, sources fused.

Every candidate is scored on the same folds. What would not fit the time left is not started, and said.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

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
from headstart.plan.crossfit import Problem
from headstart.plan.parallel import import_learners
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

    def run(self, candidates: Iterable[Candidate]) -> list[Scored]:
        """Cross-fit each candidate that fits the time left; the results, which are also kept."""
        candidates = list(candidates)
        if not candidates:
            return []
        results: list[Scored] = []
        folds = len(self.problem.folds)
        with self.progress.bar("score", candidates[0].label, len(candidates) * folds, "fits") as bar:
            for candidate in candidates:
                fits = _Fits(bar, folds)
                # A side with nothing scored could not be compared: its first candidate always runs.
                if (not results and not self._ran(candidate.transfer)) or self._fits(candidate):
                    if self.bases is not None:
                        self.bases.make_room(self.most_bytes - candidate.estimated_bytes(self.problem))
                    shared = self.bases if candidate.transfer else None
                    problem = replace(self.problem, told=fits.finished, bases=shared)
                    results.append(Scored.of(candidate, candidate.crossfit(problem), self.problem))
                    self.spent += candidate.estimated_seconds(self.problem) if candidate.transfer else 0.0
                fits.finished(fits.left)  # of one that was skipped, or did not tell
        self.scored += results
        return results

    def _ran(self, transfer: bool) -> bool:
        return any(one.candidate.transfer == transfer for one in self.scored)

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


@dataclass(eq=False)
class _Fits:
    """The fits of one candidate that a bar has yet to count."""

    bar: Bar
    left: int

    def finished(self, fits: int) -> None:
        self.left -= fits
        self.bar.advance(fits)


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
    transfer: list[Scored] = []
    best: list[SourceView] = []
    for view in sources:
        sets = [view] if screening in BLOCK_HEADS else _layer_sets(view)
        screened = race.run([frozen(layers, screening) for layers in sets])
        best.append(_winner(screened, sets))
        transfer += screened
        if race.bases is not None:
            race.bases.only([one for view in best for one in (view, _last(view))])
    opponents = baselines(plain, race.problem.target.task, race.problem.target.n_outputs)
    if any(candidate.head_name == "boosted-trees" for candidate in opponents):
        import_learners()
    baseline = race.run(opponents)
    rest = [head for head in heads if head != screening]
    few = len(race.problem.target) <= KERNEL_FEW
    for view, source in zip(best, sources, strict=True):
        others = []
        if KERNEL_HEAD in rest:
            others += [frozen(layers, KERNEL_HEAD) for layers in (_layer_sets(source) if few else [view])]
        others += [frozen(view, head) for head in rest if head not in (*BLOCK_HEADS, KERNEL_HEAD)]
        if "logistic" in heads and view.detail != "last":
            # What ridge makes of a layer set is not always what logistic regression does: the usual probe is tried too.
            others.append(frozen(_last(view), "logistic"))
        # These choose among the layers themselves.
        others += [frozen(source, head) for head in rest if head in BLOCK_HEADS and len(source.taps) > 1]
        transfer += race.run(others)
    race.bases = None
    if len(best) > 1:
        fused = FusedView(tuple(best))
        transfer += race.run([frozen(fused, head) for head in dict.fromkeys((screening, KERNEL_HEAD)) if head in heads])
    return transfer, baseline


def _layer_sets(view: SourceView) -> list[SourceView]:
    return [SourceView(view.features, view.origin, taps, name) for name, taps in layer_sets(view.taps).items()]


def _last(view: SourceView) -> SourceView:
    """The last layer of a view's source."""
    return SourceView(view.features, view.origin, layer_sets(view.origin.taps)["last"], "last")


def _winner(screened: Sequence[Scored], sets: Sequence[SourceView]) -> SourceView:
    """The layer set that scored best; ties go to the smaller loss."""
    if not screened:
        return sets[0]
    winner = max(screened, key=lambda one: (one.mean, -one.loss)).candidate
    assert isinstance(winner, Frozen)
    assert isinstance(winner.view, SourceView)
    return winner.view
