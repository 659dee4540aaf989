"""scikit-learn estimators: feature arrays, or the items themselves (texts, paths of images or sounds)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from headstart.data.dataset import FILES, Modality
from headstart.data.looks import files_of
from headstart.data.rows import group_codes
from headstart.data.texts import read_text
from headstart.errors import DataError, ItemError
from headstart.plan.views import ViewState
from headstart.tasks import Target, Task

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ArrayView:
    """Given features as a view: the matrix itself."""

    given: NDArray[np.float64]
    source: str = "features"
    detail: str = "given"
    cost: float = 0.0

    @property
    def width(self) -> int:
        return int(self.given.shape[1])

    @property
    def blocks(self) -> tuple[int, ...]:
        return (self.width,)

    def fit(self, rows: NDArray[np.int64]) -> ArrayView:
        return self

    def matrix(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.given[rows]

    def states(self) -> tuple[ViewState, ...]:
        return ()


class _Headstart(BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share."""

    def __init__(self, source: Any = None, strategy: Any = None, seed: int = 0) -> None:
        self.source = source
        self.strategy = strategy
        self.seed = seed

    def _fit_items(self, items: list[Any], y: NDArray[Any], task: str | None, groups: Codes | None) -> None:
        import pandas as pd

        from headstart.interface import fit

        modality = _modality(items)
        given = [str(item) if modality in FILES else _text(item) for item in items]
        columns = {"input": given, "label": y} | ({} if groups is None else {"group": groups})
        model = fit(
            pd.DataFrame(columns),
            source=() if self.source is None else self.source,
            strategy=() if self.strategy is None else self.strategy,
            input="input",
            label="label",
            group=None if groups is None else "group",
            task=task,
            modality=modality,
            seed=self.seed,
        )
        self._forget()
        self.model_ = model

    def _fit_array(self, x: NDArray[np.float64], target: Target, groups: Codes | None) -> None:
        """Cross-fit every head on the given features, keep the one that the evidence chooses."""
        from headstart.data.split_notes import refuse_uncheckable
        from headstart.data.splits import FOLDS, folds, usual_folds
        from headstart.evidence.selection import choose
        from headstart.plan.candidates import BLOCK_HEADS, frozen, frozen_heads
        from headstart.plan.crossfit import Problem
        from headstart.plan.race import Race

        given = () if self.strategy is None else (self.strategy,) if isinstance(self.strategy, str) else self.strategy
        k = min(FOLDS, len(target))
        if groups is not None:
            refuse_uncheckable(target, groups, "what was given")
            k = usual_folds(len(target), groups)
        splits = folds(target, groups=groups, k=k, seed=self.seed)
        race = Race(Problem(target, splits, groups, None, self.seed))
        view = ArrayView(x)
        heads = frozen_heads(tuple(given), target.task)
        # Given features are one block.
        heads = [head for head in heads if head not in BLOCK_HEADS] or heads
        scored = race.run([frozen(view, head) for head in heads])
        scores = np.stack([s.item_scores for s in scored], axis=1)
        best = scored[choose(scores, np.zeros(len(scored)), np.array([s.loss for s in scored]))]
        self._forget()
        self.strategy_ = best.candidate.strategy
        self.fitted_ = best.candidate.fit_all(race.problem, best.out_of_fold)

    def _forget(self) -> None:
        """Drop what an earlier fit on the other kind of input left."""
        for name in ("model_", "strategy_", "fitted_"):
            self.__dict__.pop(name, None)

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        if hasattr(self, "model_"):
            items = _items(X)
            if items is None:
                raise DataError(f"this model was fitted on {self.model_.card.modality}s: expected a list of them")
            files = self.model_.card.modality in FILES
            found, failures = self.model_.probabilities([Path(item) if files else _text(item) for item in items])
            if failures:
                row = min(failures)
                raise DataError(f"item {row} ({items[row]!r}) cannot be read: {failures[row]}")
            return found
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(self.fitted_.calibration.probabilities(self.fitted_.head.scores(x)))


class HeadstartClassifier(ClassifierMixin, _Headstart):  # type: ignore[misc]
    """A classifier on feature arrays, texts, or paths of images or sounds: chosen and calibrated out of fold.

    Parameters:
        source: name or names of pretrained sources for texts and paths; None for the modality's default.
        strategy: "frozen-ridge", ...; None tries all.
        seed: of the folds.

    Attributes:
        classes_: the labels, sorted.
        n_features_in_: columns, where fitted on an array.
        model_: the headstart Model, where fitted on texts or paths; its `evidence` has the report.

    Examples:
        >>> from headstart import HeadstartClassifier
        >>> HeadstartClassifier().fit([[0.0], [0.1], [1.0], [1.1]], ["a", "a", "b", "b"]).predict([[0.9]])
        array(['b'], dtype='<U1')
    """

    def fit(self, X: Any, y: Any, groups: Any = None) -> HeadstartClassifier:
        """Fit on X: (n, d) numbers, or n texts or paths; y: (n,) labels.

        Args:
            groups: (n,) of whatever kind: what shares one, as a patient's images do, is on one side of every fold.
        """
        items = _items(X)
        if items is not None:
            y = _labels(items, y)
            check_classification_targets(y)
            self.classes_, codes = np.unique(y, return_inverse=True)
            self._need_two()
            task = None if len(self.classes_) < 3 else "multiclass"
            self._fit_items(items, _names(len(self.classes_))[codes], task, _codes(items, groups))
            return self
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._need_two()
        kind: Task = "binary" if len(self.classes_) == 2 else "multiclass"
        target = Target(kind, codes.astype(np.int64), tuple(map(str, self.classes_)))
        self._fit_array(X, target, _codes(X, groups))
        return self

    def _need_two(self) -> None:
        if len(self.classes_) < 2:
            raise ValueError(
                f"This classifier needs at least two classes; the data has one class: {self.classes_[0]!r}"
            )

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) calibrated probabilities, columns as `classes_`."""
        return self._probabilities(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) the most probable labels."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[best])


class HeadstartRegressor(RegressorMixin, _Headstart):  # type: ignore[misc]
    """A regressor on feature arrays, texts, or paths of images or sounds; parameters as HeadstartClassifier."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> HeadstartRegressor:
        """Fit on X: (n, d) numbers, or n texts or paths; y: (n,) numbers; groups as of HeadstartClassifier."""
        items = _items(X)
        if items is not None:
            self._fit_items(items, _labels(items, y).astype(np.float64), "regression", _codes(items, groups))
            return self
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        if len(X) < 2:
            raise ValueError(f"This regressor needs at least 2 samples; got {len(X)} sample")
        self._fit_array(X, Target("regression", y.astype(np.float64), ("y",)), _codes(X, groups))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n,) predictions."""
        return self._probabilities(X)[:, 0]


def _items(X: Any) -> list[Any] | None:
    """The items if X is a list, array, Series or DataFrame of one column of texts or paths, else None."""
    if hasattr(X, "iloc"):  # pandas, without importing it
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "UO":
        X = X[:, 0]
    if (isinstance(X, np.ndarray) and X.ndim == 1) or isinstance(X, (list, tuple)):
        items = list(X)
        if items and all(isinstance(item, (str, Path)) for item in items):
            return items
    return None


def _labels(items: list[Any], y: Any) -> NDArray[Any]:
    """(n,) labels, one an item, none of them missing.

    Raises:
        ValueError: there are not as many, or one is NaN.
    """
    y = column_or_1d(y, warn=True)
    check_consistent_length(items, y)
    assert_all_finite(y, input_name="y")
    return np.asarray(y)


def _codes(items: Any, groups: Any) -> Codes | None:
    """(n,) codes of the groups, those that are missing being one more; None without groups.

    Raises:
        ValueError: there are not as many as items.
    """
    if groups is None:
        return None
    from pandas import isna

    given = column_or_1d(groups, warn=True)
    check_consistent_length(items, given)
    return group_codes([None if isna(one) else one for one in given.tolist()])[0]


def _modality(items: list[Any]) -> Modality:
    """image or sound where every item has the name of one, whether it is there or not."""
    return files_of([str(item) for item in items], share=1.0) or "text"


def _text(item: str | Path) -> str:
    """The text, or that of the file it names.

    Raises:
        ItemError: the file cannot be read.
    """
    if isinstance(item, str) and not (item.lower().endswith(".txt") and Path(item).is_file()):
        return item
    try:
        return read_text(item)
    except ItemError as failed:
        raise ItemError(f"{item}: {failed}") from None


def _names(n: int) -> NDArray[np.str_]:
    """Class names that sort as their codes do."""
    return np.array([f"{code:06d}" for code in range(n)])
