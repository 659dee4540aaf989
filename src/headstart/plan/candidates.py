"""Candidates: source x strategy. Which frozen ones exist for a data set, and what each would cost to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from headstart import registry
from headstart.data.dataset import Modality
from headstart.errors import OptionError
from headstart.heads.base import BlockHead, Head
from headstart.heads.logistic_folds import BESIDE
from headstart.plan.crossfit import CrossFit, Fitted, OutOfFold, Problem, crossfit, fit_all, score_bytes
from headstart.plan.views import NO_SOURCE, View
from headstart.tasks import Task

SCREENING_HEAD = "ridge"
FEW_LABEL_HEADS = ("means", "knn")
FEW_LABELS = 200
# Up to so many items kernel ridge is tried on every layer set: what ridge makes of them says little of it.
KERNEL_HEAD, KERNEL_FEW = "kernel", 1_500
MOST_BOOSTED = 30
FROZEN_HEADS = ("ridge", "kernel", "logistic", "weighted", "means", "knn")
# Heads that weigh blocks of columns, for which one block is a logistic regression like any other.
BLOCK_HEADS = ("weighted",)
# Layers of a text encoder differ in kind (words, syntax, topic). On images this head was no better than kernel ridge on
# all layers (solar cells, 1,000 items, cross-fitted: log loss .30 against .28), for twice its time.
TEXT_HEADS = ("weighted",)
_HEAD_WORDS = {"boosted-trees": "boosted trees", "sparse-linear": "linear model", "ridge": "linear model"}
_VIEW_WORDS = {"hog": "HOG", "logmel": "log-mel", "tfidf": "TF-IDF", "columns": "columns"}
BASELINE_HEADS = {
    "hog": ("ridge", "boosted-trees"),
    "logmel": ("ridge", "boosted-trees"),
    "tfidf": ("sparse-linear", "boosted-trees"),
    "columns": ("ridge", "boosted-trees"),
}

# Multiply-adds a second of two slow cores, as measured: 7.6 s to cross-fit ridge on 2,223 x 4,128. Estimates only
# decide what is not worth starting.
_FLOPS = 1e11
_ITERATIVE = ("logistic", "weighted")
# eigh costs about this many n^3 (tridiagonal reduction runs at memory speed).
_EIGH = 12.0
# What else a fit does, in the same unit, for each item in each of min(n, d) directions: walking them, as the grid of
# penalties does; and, of iterative heads, all steps of all inner folds, with so much more an output. Measured on made
# classes (3 and 77; n 500, 2,000, 8,000; d 384, 1,280, 4,128), in CPU time, of which two cores do twice a second: ridge
# took 70 to 100 ns, logistic regression 250 to 810 ns with 3 classes, 1,980 to 3,850 ns with 77.
_WALK, _STEPS, _STEPS_AN_OUTPUT = 3_500.0, 25_000.0, 1_600.0


class Candidate(Protocol):
    """What can be tried on a problem, and shipped.

    Attributes:
        source: the name of the source or sources, NO_SOURCE for what knows nothing beforehand.
        strategy: its name in reports and for --strategy: "frozen-ridge-all", "hog-boosted-trees", "last-stages".
        label: the source's name for a reader.
        transfer: True if it starts from pretrained knowledge.
        moves: True if it trains the source's own weights.
        cost: of one prediction: the graph's parameters in millions; searching neighbours costs a little.
        effort: rough seconds of training that a fit on everything takes beside its head; 0 where nothing moves.
    """

    @property
    def source(self) -> str: ...

    @property
    def strategy(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def transfer(self) -> bool: ...

    @property
    def moves(self) -> bool: ...

    @property
    def cost(self) -> float: ...

    @property
    def effort(self) -> float: ...

    @property
    def words(self) -> str:
        """What it is, for a sentence: "HOG + boosted trees"."""

    def estimated_seconds(self, problem: Problem) -> float:
        """A rough time to cross-fit and to fit on everything, before anything of the kind has been timed."""

    def estimated_bytes(self, problem: Problem) -> int:
        """Rough working memory beside the features."""

    def crossfit(self, problem: Problem) -> OutOfFold:
        """What it says of every tested item, learned without the item's fold."""

    def fit_all(self, problem: Problem, out_of_fold: OutOfFold) -> Fitted:
        """Fit on every item, as its folds advise."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """A head on a view. Nothing of a source moves."""

    view: View
    head_name: str
    strategy: str
    moves: bool = False
    effort: float = 0.0

    @property
    def source(self) -> str:
        return self.view.source

    @property
    def label(self) -> str:
        return self.source if self.transfer else "no transfer"

    @property
    def transfer(self) -> bool:
        return self.view.source != NO_SOURCE

    @property
    def head(self) -> Head:
        """The registered head, told of the view's blocks where it weighs them."""
        head: Head = registry.get("headstart.heads", self.head_name)
        return head.of_blocks(self.view.blocks) if isinstance(head, BlockHead) else head

    @property
    def cost(self) -> float:
        return self.view.cost + (0.001 if self.head_name == "knn" else 0.0)

    @property
    def words(self) -> str:
        if self.transfer:
            return self.source
        view = _VIEW_WORDS.get(self.view.detail, self.view.detail)
        return f"{view} + {_HEAD_WORDS.get(self.head_name, self.head_name)}"

    def estimated_seconds(self, problem: Problem) -> float:
        n = len(problem.target)
        if self.head_name == "sparse-linear":
            from headstart.heads.sparse_linear import fit_seconds

            return fit_seconds(n, self.view.width, problem.target.n_outputs) * (len(problem.folds) + 1)
        smaller = n if self.head_name == KERNEL_HEAD else min(n, self.view.width)
        each = self.view.width + _WALK  # of n items in so many directions
        if self.head_name in _ITERATIVE:
            each += _STEPS + _STEPS_AN_OUTPUT * problem.target.n_outputs
        return (n * smaller * each + _EIGH * smaller**3) / _FLOPS * (len(problem.folds) + 1)

    def estimated_bytes(self, problem: Problem) -> int:
        """A fold's copy of the features, scores while it is fitted and those kept, weights, and its own matrices."""
        n, d, outputs = len(problem.target), self.view.width, problem.target.n_outputs
        scores, copy = n * (score_bytes(problem.target) + 16 * outputs), 2 * n * d
        if self.head_name == "sparse-linear":
            from headstart.heads.sparse_linear import working_bytes

            return scores + copy + working_bytes(n, d, outputs)
        linear = 24 * d * outputs  # weights: float64 in the eigenbasis and on the features, and float32
        if self.head_name in _ITERATIVE:  # float32 coordinates in the eigenbasis, and gradients; what L-BFGS remembers
            return scores + copy + 8 * n * min(n, d) + 200 * min(n, d) * max(outputs, BESIDE) + linear
        if self.head_name == "knn":
            return scores + 2 * copy
        if self.head_name == "means":  # rows of unit length beside those given
            copy *= 2
        if self.head_name == KERNEL_HEAD:  # items in float32; kernel, eigenvectors and their workspace
            return scores + 3 * copy + 32 * n**2
        return scores + copy + linear + 32 * min(n, d) ** 2  # Gram matrix, eigenvectors and their workspace, float64

    def fits(self, problem: Problem) -> CrossFit:
        """Its fits, none of them begun."""
        return CrossFit(self.view, self.head, problem)

    def crossfit(self, problem: Problem) -> OutOfFold:
        return crossfit(self.view, self.head, problem)

    def fit_all(self, problem: Problem, out_of_fold: OutOfFold) -> Fitted:
        return fit_all(self.view, self.head, problem, out_of_fold)


def frozen(view: View, head: str) -> Frozen:
    """A head on a frozen view."""
    return Frozen(view, head, f"frozen-{head}-{view.detail}")


def baselines(view: View, task: Task, n_outputs: int) -> list[Frozen]:
    """The no-transfer candidates of a view that knows nothing: a linear model and boosted trees.

    With many outputs boosted trees are left out: a bounded number of trees leaves each class too few to be of use
    (12 % where a linear model had 65 % on 77 classes), for most of the time.
    """
    found = [Frozen(view, head, f"{view.detail}-{head}") for head in BASELINE_HEADS[view.detail]]
    return [
        candidate
        for candidate in found
        if candidate.head.supports(task) and (candidate.head_name != "boosted-trees" or n_outputs <= MOST_BOOSTED)
    ]


def frozen_heads(
    strategies: Sequence[str],
    task: Task,
    items_a_class: float = 0.0,
    others: Sequence[str] = (),
    modality: Modality | None = None,
) -> list[str]:
    """The heads to try on frozen views, given --strategy.

    If none is named: all that support the task; but class means and neighbours, which lead where labels are few, are
    not worth their time where they are many.

    Args:
        items_a_class: how many labels there are, on average.
        others: strategies that are no frozen ones and might have been meant.
        modality: of the items, where it is known.

    Raises:
        OptionError: a strategy that does not exist.
    """
    offered = [head for head in FROZEN_HEADS if _head(head).supports(task)]
    if not strategies:
        left_out = [
            *(FEW_LABEL_HEADS if items_a_class > FEW_LABELS else ()),
            *(TEXT_HEADS if modality == "image" else ()),
        ]
        return [head for head in offered if head not in left_out]
    asked = []
    for strategy in strategies:
        name = strategy.removeprefix("frozen-").removeprefix("frozen")
        if strategy != "frozen" and name not in offered:
            raise OptionError(_unknown(strategy, task, [f"frozen-{head}" for head in offered], others))
        asked += offered if strategy == "frozen" else [name]
    return [head for head in offered if head in asked]


def _unknown(strategy: str, task: Task, offered: Sequence[str], others: Sequence[str]) -> str:
    near = get_close_matches(strategy, ["frozen", *offered, *others], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    moving = f"; or, moving weights, {', '.join(others)}" if others else ""
    return (
        f"strategy {strategy!r} does not exist for a {task} task: expected 'frozen' (all of them) or "
        f"{', '.join(offered)}{moving}{hint}"
    )


def _head(name: str) -> Head:
    head: Head = registry.get("headstart.heads", name)
    return head
