"""Candidates: source x strategy. Which ones exist for a data set, and what each would cost to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from headstart import registry
from headstart.errors import OptionError
from headstart.heads.base import Head
from headstart.plan.views import NO_SOURCE, View
from headstart.tasks import Task

SCREENING_HEAD = "ridge"
FEW_LABEL_HEADS = ("means", "knn")
FEW_LABELS = 200
MOST_BOOSTED = 30
FROZEN_HEADS = ("ridge", "logistic", "means", "knn")
BASELINE_HEADS = {
    "hog": ("ridge", "boosted-trees"),
    "tfidf": ("sparse-linear", "boosted-trees"),
    "columns": ("ridge", "boosted-trees"),
}

# Multiply-adds a second of two slow cores, as measured: 7.6 s to cross-fit ridge on 2,223 x 4,128. Estimates only
# decide what is not worth starting.
_FLOPS = 1e11
# eigh costs about this many n^3 (tridiagonal reduction runs at memory speed).
_EIGH = 12.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A view and a head.

    Attributes:
        strategy: its name in reports and for --strategy: "frozen-ridge-all", "hog-boosted-trees".
    """

    view: View
    head_name: str
    strategy: str

    @property
    def source(self) -> str:
        return self.view.source

    @property
    def label(self) -> str:
        """The source's name for a reader."""
        return self.source if self.transfer else "no transfer"

    @property
    def transfer(self) -> bool:
        return self.view.source != NO_SOURCE

    @property
    def head(self) -> Head:
        head: Head = registry.get("headstart.heads", self.head_name)
        return head

    @property
    def cost(self) -> float:
        """Relative cost of one prediction: the graph's parameters in millions; searching neighbours costs a little."""
        return self.view.cost + (0.001 if self.head_name == "knn" else 0.0)

    def estimated_seconds(self, n: int, folds: int) -> float:
        """A rough time to cross-fit on n items, before anything of the kind has been timed."""
        smaller = min(n, self.view.width)
        once = (n * self.view.width * smaller + _EIGH * smaller**3) / _FLOPS
        return once * (folds + 1) * (5.0 if self.head_name == "logistic" else 1.0)

    def estimated_bytes(self, n: int) -> int:
        """Rough working memory beside the features: a fold's copy, and the head's own matrices."""
        d = self.view.width
        copy = 2 * n * d
        if self.head_name == "logistic":  # float32 coordinates in the eigenbasis, and gradients
            return copy + 8 * n * min(n, d)
        if self.head_name == "knn":
            return 2 * copy
        return copy + 32 * min(n, d) ** 2  # Gram matrix, eigenvectors and their workspace, float64


def frozen(view: View, head: str) -> Candidate:
    """A head on a frozen view."""
    return Candidate(view, head, f"frozen-{head}-{view.detail}")


def baselines(view: View, task: Task, n_outputs: int) -> list[Candidate]:
    """The no-transfer candidates of a view that knows nothing: a linear model and boosted trees.

    With many outputs boosted trees are left out: a bounded number of trees leaves each class too few to be of use
    (12 % where a linear model had 65 % on 77 classes), for most of the time.
    """
    found = [Candidate(view, head, f"{view.detail}-{head}") for head in BASELINE_HEADS[view.detail]]
    return [
        candidate
        for candidate in found
        if candidate.head.supports(task) and (candidate.head_name != "boosted-trees" or n_outputs <= MOST_BOOSTED)
    ]


def frozen_heads(strategies: Sequence[str], task: Task, items_a_class: float = 0.0) -> list[str]:
    """The heads to try on frozen views, given --strategy.

    If none is named: all that support the task; but class means and neighbours, which lead where labels are few, are
    not worth their time where they are many.

    Args:
        items_a_class: how many labels there are, on average.

    Raises:
        OptionError: a strategy that does not exist.
    """
    offered = [head for head in FROZEN_HEADS if _head(head).supports(task)]
    if not strategies:
        return [head for head in offered if head not in FEW_LABEL_HEADS or items_a_class <= FEW_LABELS]
    asked = []
    for strategy in strategies:
        name = strategy.removeprefix("frozen-").removeprefix("frozen")
        if strategy != "frozen" and name not in offered:
            near = get_close_matches(strategy, [f"frozen-{head}" for head in offered], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(
                f"strategy {strategy!r} does not exist for a {task} task: expected 'frozen' (all of them) or "
                f"{', '.join(f'frozen-{head}' for head in offered)}{hint}"
            )
        asked += offered if strategy == "frozen" else [name]
    return [head for head in offered if head in asked]


def _head(name: str) -> Head:
    head: Head = registry.get("headstart.heads", name)
    return head
