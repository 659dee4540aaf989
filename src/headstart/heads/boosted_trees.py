"""Gradient-boosted decision trees: what a strong learner makes of columns that were not learned beforehand.

scikit-learn grows the trees (HistGradientBoosting, after LightGBM; Ke et al., 2017). Work is bounded by design, so that
a fit takes seconds: at most WIDTH columns, those on which the target depends most among the training items; fewer
columns and steps the more outputs there are (each step grows one tree an output) and the more items.

No early stopping: it would spend labels on a validation split, and few steps of small trees do not need it. Scores of
items left out come only from fitting again, so `loo_scores` is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from headstart.errors import ArtefactError
from headstart.heads.base import Floats, HeadState
from headstart.heads.dependence import strongest_columns
from headstart.heads.rows import check_scoring, check_training, present_classes, settings_value
from headstart.heads.trees import Trees
from headstart.tasks import TASKS, Target, Task

WIDTH = 300
BINS = 63
_FEW = 500
# Trees in all, cells of the training matrix, and cells scanned by all trees together.
_TREES, _CELLS, _SCANNED = 1_000, 6_000_000, 4_000_000_000
# Cells from which threads share a tree. Below it they wait for one another at each of many short loops, and a hundred
# times as long where another process has one of the cores.
_SPLIT = 1_000_000


class BoostedTrees:
    """The head registered as "boosted-trees". Accepts dense features, NaN where missing, and CSR."""

    def supports(self, task: Task) -> bool:
        """Every task; multilabel grows one model a label."""
        return task in TASKS

    def fit(
        self,
        x: Floats | sparse.csr_matrix,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedTrees:
        """Fit on x (n, d); nothing is tuned, so `groups` changes nothing."""
        w = check_training(x, target, weights, groups)  # type: ignore[arg-type]
        seen = np.flatnonzero(w > 0)
        present = np.flatnonzero(present_classes(target, w))
        some, w = target.take(seen), w[seen]
        size = Size.of(len(seen), x.shape[1], 1 if target.exclusive and len(present) < 3 else len(present))
        columns = strongest_columns(x[seen], some, w, size.columns, seed)
        narrow = x[:, columns][seen]
        dense = np.asarray(narrow.toarray() if sparse.issparse(narrow) else narrow, np.float64)
        if target.task == "multilabel":
            labels = some.y.astype(np.int64).T
            trees = Trees.side_by_side([_grow_label(dense, label, w, size, columns, seed) for label in labels])
        else:
            trees = _grow(dense, some, w, size, columns, seed)
        fitted = FittedTrees(trees, target.task, target.n_outputs, x.shape[1], present, 0.0)
        if len(present) == target.n_outputs:
            return fitted
        # A class never seen has, by the rule of succession, a chance of about 1 in 2 (n + 1).
        best = fitted.scores(x)[:, present].max(axis=1).min()
        return replace(fitted, floor=float(best - np.log(2 * (len(seen) + 1))))

    def restore(self, state: HeadState) -> FittedTrees:
        """The fitted head from its state.

        Raises:
            ArtefactError: the state is incomplete or contradicts itself.
        """
        return FittedTrees.restore(state.arrays, state.settings)


@dataclass(frozen=True)
class Size:
    """How much is grown.

    Attributes:
        columns: the most columns that are looked at.
        steps: boosting steps, of one tree an output.
        leaves: the most leaves of a tree.
        leaf_items: the fewest training items in a leaf.
        rate: what each step counts.
    """

    columns: int
    steps: int
    leaves: int
    leaf_items: int
    rate: float

    @classmethod
    def of(cls, n: int, d: int, outputs: int) -> Size:
        """For n items of d columns and `outputs` trees a step."""
        # Few items cannot tell many columns apart: half of them and smaller trees score the same in half the time.
        widest = WIDTH if n >= _FEW else WIDTH // 2
        columns = int(np.clip(min(_CELLS // n, 10 * WIDTH // outputs), 64, widest))
        trees = min(_TREES, _SCANNED // (n * min(columns, d)))
        steps = int(np.clip(trees // outputs, 10, 100))
        return cls(
            columns=columns,
            steps=steps,
            leaves=6 if n < _FEW else 8 if n < 1_000 else 16,
            leaf_items=int(np.clip(min(n // 40, n // (2 * outputs)), 2, 20)),
            rate=float(np.clip(8 / steps, 0.08, 0.3)),
        )


def _grow(
    x: NDArray[np.float64],
    target: Target,
    weights: NDArray[np.float64],
    size: Size,
    columns: NDArray[np.int64],
    seed: int,
) -> Trees:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    if target.exclusive:
        share = np.bincount(target.y.astype(np.int64), weights)
        share = share[share > 0] / share.sum()
        # Leaves of two items or more cannot tell classes of fewer apart.
        if len(share) == 1 or len(share) > max(2, len(x) / 2):
            return Trees.constant(np.log(share))
    kind = HistGradientBoostingClassifier if target.exclusive else HistGradientBoostingRegressor
    model = kind(
        learning_rate=size.rate,
        max_iter=size.steps,
        max_leaf_nodes=size.leaves,
        min_samples_leaf=size.leaf_items,
        # Many columns say the same: to look at some of them at each split is quicker and generalises better.
        max_features=1.0 if len(columns) <= 30 else 0.3,
        max_bins=BINS,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1 if x.size < _SPLIT else None, user_api="openmp"):
        if np.ptp(weights) == 0:
            return Trees.of(model.fit(x, target.y), columns)
        # Mean weight one: the penalty on leaves is relative to it.
        return Trees.of(model.fit(_levelled(x), target.y, sample_weight=weights / weights.mean()), columns)


def _levelled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x with every column brought to at most BINS values, by its quantiles.

    scikit-learn would find weighted quantiles one by one, which takes most of a small fit; few values need none.
    """
    levelled = x.copy()
    for column in levelled.T:
        there = np.isfinite(column)
        if len(levels := np.unique(column[there])) > BINS:
            levels = np.unique(np.quantile(levels, np.linspace(0, 1, BINS), method="nearest"))
            column[there] = levels[np.searchsorted(levels, column[there], side="right") - 1]
    return levelled


def _grow_label(
    x: NDArray[np.float64],
    label: NDArray[np.int64],
    weights: NDArray[np.float64],
    size: Size,
    columns: NDArray[np.int64],
    seed: int,
) -> Trees:
    """The log-odds of one label; one that always or never holds has its smoothed log-odds, and no trees."""
    held = int(label.sum())
    if held in (0, len(label)):
        return Trees.constant(np.log([(held + 0.5) / (len(label) - held + 0.5)]))
    return _grow(x, Target("binary", label, ("no", "yes")), weights, size, columns, seed)


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """Boosted trees after fitting.

    Attributes:
        trees: regression: one output, the number; two classes: one, the log-odds of the second; more: one a class;
            multilabel: one a label, its log-odds.
        width: columns of the features.
        present: positions of the classes that training had.
        floor: the score of a class that training had not: lower than the best of any training item.
        loo_scores: None.
    """

    trees: Trees
    task: Task
    n_outputs: int
    width: int
    present: NDArray[np.int64]
    floor: float
    loo_scores: None = field(default=None, init=False)

    def scores(self, x: Floats | sparse.csr_matrix) -> NDArray[np.float64]:
        """(m, C) float64 scores of x (m, d): logits of exclusive classes, log-odds of labels, or the number."""
        check_scoring(x, self.width)  # type: ignore[arg-type]
        raw = self.trees.raw(x)
        if self.task not in ("binary", "multiclass"):
            return raw
        scores = np.full((len(raw), self.n_outputs), self.floor)
        scores[:, self.present] = _logits(raw, len(self.present))
        return scores

    def state(self) -> HeadState:
        """The trees' arrays and `present`; the rest as settings."""
        settings = {"task": self.task, "outputs": self.n_outputs, "width": self.width, "floor": self.floor}
        return HeadState("boosted-trees", {**self.trees.arrays(), "present": self.present}, settings)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> FittedTrees:
        """From the parts of a `state`.

        Raises:
            ArtefactError: they are incomplete or contradict each other.
        """
        task, n_outputs, width, floor = (settings_value(settings, key) for key in ("task", "outputs", "width", "floor"))
        present = np.asarray(arrays.get("present", ()))
        counts = type(n_outputs) is int and type(width) is int and min(n_outputs, width) > 0
        number = type(floor) in (int, float) and abs(floor) < np.inf
        if not counts or not number or not _are_codes(present, n_outputs):
            raise ArtefactError(
                f"the stored trees' outputs {n_outputs!r}, width {width!r}, floor {floor!r} or classes "
                f"{present.shape} are not what they should be: the file is damaged"
            )
        trees = Trees.restore(arrays, width)
        several = len(present) if task == "multiclass" and len(present) > 2 else 1
        expected = n_outputs if task == "multilabel" else several
        if task not in TASKS or len(trees.start) != expected:
            raise ArtefactError(
                f"the stored trees have {len(trees.start)} outputs, a {task} head {expected}: file damaged?"
            )
        if not np.isfinite(trees.value).all() or not np.isfinite(trees.start).all():
            raise ArtefactError("the stored trees give values that are no numbers: the file is damaged")
        return cls(trees, task, n_outputs, width, present, float(floor))


def _are_codes(present: NDArray[Any], n_outputs: int) -> bool:
    """True for (k,) different positions of n_outputs, ascending, at least one."""
    if present.dtype != np.int64 or present.ndim != 1 or len(present) == 0:
        return False
    return bool(present[0] >= 0 and present[-1] < n_outputs and (np.diff(present) > 0).all())


def _logits(raw: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """(m, classes) from raw outputs (m, R): log-odds are split evenly between two classes; one class alone has 0."""
    return raw * np.array([-0.5, 0.5]) if classes == 2 else raw
