"""Learning curves: every strategy on the same nested draws of labels, scored on the same test items.

A draw of k labels a class is part of the draw of more labels with the same number, so that a curve does not jump from
one sample to another; all strategies learn from the same draws. Whatever a strategy chooses, it chooses by the labels
of its draw alone: those of the test items are only scored.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.data.splits import Fold, folds
from headstart.data.stratify import strata
from headstart.evidence.calibration import Calibration
from headstart.evidence.curve import Curve
from headstart.evidence.metrics import item_losses, item_scores
from headstart.plan.candidates import Frozen
from headstart.plan.crossfit import Problem, calibrated, crossfit
from headstart.plan.parallel import each
from headstart.plan.trial import Trial
from headstart.plan.tuned import Tuned
from headstart.plan.views import Rows
from headstart.progress import SILENT, Progress
from headstart.tasks import Target

Probabilities = NDArray[np.float64]

# Folds inside a draw, for what has no exact leave-one-out: boosted trees, the reading of a training.
_INNER = 3
# Boosted trees are tried from so many labels a class, and for so many classes at most: with fewer, or for more, they
# were measured far below the linear model, at many times its cost.
_BOOSTED, _FEWEST, _MOST_CLASSES = "boosted-trees", 5, 10
# A candidate that would take more time or memory on a draw than this is not among those that are chosen from.
_SECONDS, _BYTES = 20.0, 800_000_000
# Bytes of float16 features above which draws are fitted one after another, on all cores.
_LARGE = 50_000_000


@dataclass(frozen=True, eq=False)
class Draw:
    """A sample of labels.

    Attributes:
        size: labels a class that were asked for; None for all there are.
        number: which of the draws; those of one number are nested.
        rows: positions of the items, ascending.
    """

    size: int | None
    number: int
    rows: Rows


def draw(target: Target, pool: Rows, sizes: Sequence[int], count: int, seed: int) -> list[Draw]:
    """`count` nested draws of each size, and at last the whole pool, once.

    Each class is drawn at random up to the size, all of one that has fewer. Many labels: items are drawn, the rarest
    label first, until each label holds for as many as asked. A size that takes all or nearly all (no class has more)
    is left out.

    Args:
        pool: positions of the items that may be learned from.
        sizes: labels a class.
    """
    hot = strata(target)[pool] > 0  # (m, C)
    most = int(hot.sum(axis=0).max(initial=0))
    drawn = []
    for number in range(count):
        order = np.random.default_rng([seed, number]).permutation(len(pool))
        taken = np.zeros(len(pool), bool)
        for size in sorted(size for size in set(sizes) if size < most):
            _fill(taken, hot, size, order)
            if taken.sum() == 1:  # it holds all labels, and no head learns from one item
                taken[order[~taken[order]][:1]] = True
            if not taken.all():
                drawn.append(Draw(size, number, np.sort(pool[taken])))
    drawn.sort(key=lambda one: (one.size, one.number))
    return [*drawn, Draw(None, 0, np.sort(pool))]


def _fill(taken: NDArray[np.bool_], hot: NDArray[np.bool_], size: int, order: Rows) -> None:
    """Take more items, in the given order, until each label has `size` of them or all it has."""
    for label in np.argsort(hot.sum(axis=0), kind="stable"):
        lacking = size - int(taken[hot[:, label]].sum())
        if lacking > 0:
            more = order[hot[order, label] & ~taken[order]]
            taken[more[:lacking]] = True


@dataclass(frozen=True, eq=False)
class Said:
    """What was learned from a draw says of the test items.

    Attributes:
        probabilities: (t, C) float64.
        chosen: which candidate, or reading, the draw's own labels chose.
        notes: what the user should know.
    """

    probabilities: Probabilities
    chosen: str
    notes: tuple[str, ...] = ()


class Learner(Protocol):
    """What a curve is of.

    Attributes:
        name: in reports: "no transfer", "probe", "last-stages".
        source: the pretrained source's name, NO_SOURCE without one.
        transfer: whether it starts from pretrained knowledge.
        parallel: whether draws may be learned from side by side, given the items of the largest.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def transfer(self) -> bool: ...

    def parallel(self, items: int) -> bool: ...

    def learn(self, problem: Problem, train: Rows, test: Rows) -> Said:
        """Learn from the items `train` and say what `test` are; the problem's folds are not looked at."""


@dataclass(frozen=True, eq=False)
class Closed:
    """The best of some heads on frozen views: by exact leave-one-out log loss on the draw, or by folds within it.

    With one label a class nothing can be left out and still be learned: then all are even, and the first is taken.
    """

    name: str
    candidates: tuple[Frozen, ...]

    @property
    def source(self) -> str:
        return self.candidates[0].source

    @property
    def transfer(self) -> bool:
        return self.candidates[0].transfer

    def parallel(self, items: int) -> bool:
        return items * max(one.view.width for one in self.candidates) * 2 <= _LARGE

    def learn(self, problem: Problem, train: Rows, test: Rows) -> Said:
        best: tuple[float, Said] | None = None
        for candidate in _affordable(self.candidates, problem, train):
            loss, said = _fit(candidate, problem, train, test)
            if best is None or loss < best[0] - 1e-6:
                best = loss, said
        assert best is not None, "there is at least one candidate"
        return best[1]


def _affordable(candidates: Sequence[Frozen], problem: Problem, train: Rows) -> list[Frozen]:
    """Those that are worth their time and memory on a draw of this size, or the smallest."""
    part = replace(problem, target=problem.target.take(train), folds=[])
    boosted = _typical(part.target) >= _FEWEST and part.target.n_outputs <= _MOST_CLASSES
    able = [
        one
        for one in candidates
        if one.estimated_seconds(part) <= _SECONDS
        and one.estimated_bytes(part) <= _BYTES
        and (boosted or one.head_name != _BOOSTED)
    ]
    return able or [min(candidates, key=lambda one: one.estimated_bytes(part))]


def _typical(target: Target) -> float:
    """Items a class: the median over the classes that have any."""
    held = strata(target).sum(axis=0)
    return float(np.median(held[held > 0]))


def _fit(candidate: Frozen, problem: Problem, train: Rows, test: Rows) -> tuple[float, Said]:
    """The log loss on the draw's own items, each left out, and what the candidate says of the test items."""
    target, groups = problem.target.take(train), None if problem.groups is None else problem.groups[train]
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None  # of a few labels: without their one group nothing would be left to choose by
    view = candidate.view.fit(train)
    weights = None if problem.weights is None else problem.weights[train]
    fitted = candidate.head.fit(view.matrix(train), target, weights=weights, groups=groups, seed=problem.seed)
    scores = fitted.scores(view.matrix(test))
    if fitted.loo_scores is not None:
        calibration = Calibration.fit(target.task, fitted.loo_scores, target)
        held_out = calibration.probabilities(fitted.loo_scores)
    elif (inner := inner_folds(problem, train)) is not None:
        out = crossfit(candidate.view, candidate.head, replace(problem, folds=inner))
        assert out.calibration is not None, "it has no leave-one-out scores"
        calibration, held_out = out.calibration, out.probabilities[train]
    else:
        return np.inf, Said(_at_their_word(problem.target, scores), candidate.strategy)
    loss = float(item_losses(target, held_out)["log_loss"].mean())
    return loss, Said(calibration.probabilities(scores), candidate.strategy)


def _at_their_word(target: Target, scores: Probabilities) -> Probabilities:
    """Logits as probabilities, where nothing tells their temperature."""
    whole = Target(target.task, target.y[:0], target.classes)
    return calibrated(whole, scores, np.empty(0, np.int64)).probabilities(scores)


def inner_folds(problem: Problem, train: Rows) -> list[Fold] | None:
    """Folds within a draw, as positions of all items; None where most classes, or the groups, have too few for it."""
    target = problem.target.take(train)
    groups = None if problem.groups is None else problem.groups[train]
    if _typical(target) < 2 or (groups is not None and len(np.unique(groups)) < _INNER):
        return None
    return [
        Fold(train[fold.train], train[fold.test])
        for fold in folds(target, groups=groups, k=min(_INNER, len(train)), seed=problem.seed)
    ]


@dataclass(frozen=True, eq=False)
class Moving:
    """A strategy that moves weights: read off where folds within the draw advise, then trained on all of the draw.

    With one label a class there are no folds: it is then read at the end, and its logits taken at their word.
    """

    name: str
    candidate: Tuned

    @property
    def source(self) -> str:
        return self.candidate.source

    @property
    def transfer(self) -> bool:
        return self.candidate.transfer

    def parallel(self, items: int) -> bool:
        return False

    def learn(self, problem: Problem, train: Rows, test: Rows) -> Said:
        job, learner = self.candidate.job, self.candidate.learner
        inner = inner_folds(problem, train)
        if inner is None:
            learned = learner.learn(job, train, test, list(learner.readings(job, len(train)))[-1:])
            return Said(_at_their_word(problem.target, learned.scores[-1]), "the last reading", learned.notes)
        trial = Trial(learner, job, replace(problem, folds=inner))
        for k in range(len(inner)):
            trial.train(k)
        off = trial.out_of_fold()
        assert off.reading is not None, "trainings have a reading"
        assert off.calibration is not None, "and folds to calibrate on"
        learned = learner.learn(job, train, test, [off.reading])
        chosen = off.reading.words
        notes = (*off.notes, *learned.notes)
        return Said(off.calibration.probabilities(learned.scores[-1]), chosen, notes)


@dataclass(frozen=True, eq=False)
class Traced:
    """The curve of one learner.

    Attributes:
        sizes: (K,) labels a class as asked for; None for all.
        chosen: for each size, how often what was chosen.
        seconds: wall time.
        notes: what the user should know.
    """

    learner: Learner
    sizes: tuple[int | None, ...]
    curve: Curve
    chosen: tuple[Counter[str], ...]
    seconds: float
    notes: tuple[str, ...]


def trace(learner: Learner, problem: Problem, draws: Sequence[Draw], test: Rows, progress: Progress = SILENT) -> Traced:
    """Learn from every draw and score the test items.

    Args:
        draws: in ascending order of size, as `draw` gives them.

    Raises:
        EngineError: weights cannot be moved here.
        MissingLayerError: a package is absent.
    """
    start = time.perf_counter()
    target = problem.target.take(test)
    with progress.bar("learn", learner.name, len(draws), "draws") as bar:

        def one(drawn: Draw) -> tuple[NDArray[np.float64], Said]:
            said = learner.learn(problem, drawn.rows, test)
            return item_scores(target, said.probabilities), said

        beside = [drawn for drawn in draws if learner.parallel(len(drawn.rows))]
        results = each(one, beside, bar.advance)
        for drawn in draws[len(beside) :]:
            results.append(one(drawn))
            bar.advance()
    sizes = tuple(dict.fromkeys(drawn.size for drawn in draws))
    at = {size: [k for k, drawn in enumerate(draws) if drawn.size == size] for size in sizes}
    return Traced(
        learner=learner,
        sizes=sizes,
        curve=Curve(
            np.array([np.mean([len(draws[k].rows) for k in at[size]]) for size in sizes]),
            [np.stack([results[k][0] for k in at[size]]) for size in sizes],
        ),
        chosen=tuple(Counter(results[k][1].chosen for k in at[size]) for size in sizes),
        seconds=time.perf_counter() - start,
        notes=tuple(dict.fromkeys(note for _, said in results for note in said.notes)),
    )
