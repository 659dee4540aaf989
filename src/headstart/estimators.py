"""scikit-learn estimators: feature arrays, or the items themselves (texts, image paths)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from headstart.errors import DataError
from headstart.plan.views import ViewState
from headstart.tasks import Target, Task


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

    def _fit_items(self, items: list[Any], y: NDArray[Any], task: str | None) -> None:
        import pandas as pd

        from headstart.interface import fit

        table = pd.DataFrame({"input": [str(item) for item in items], "label": y})
        self.model_ = fit(
            table,
            source=() if self.source is None else self.source,
            strategy=() if self.strategy is None else self.strategy,
            input="input",
            label="label",
            task=task,
            modality="image" if all(Path(str(item)).suffix and Path(str(item)).is_file() for item in items) else "text",
            seed=self.seed,
        )

    def _fit_array(self, x: NDArray[np.float64], target: Target) -> None:
        """Cross-fit every head on the given features, keep the one that the evidence chooses."""
        from headstart.data.splits import folds
        from headstart.evidence.selection import choose
        from headstart.plan.candidates import frozen, frozen_heads
        from headstart.plan.crossfit import Problem
        from headstart.plan.race import Race

        given = () if self.strategy is None else (self.strategy,) if isinstance(self.strategy, str) else self.strategy
        splits = folds(target, k=min(5, len(target)), seed=self.seed)
        race = Race(Problem(target, splits, None, None, self.seed))
        view = ArrayView(x)
        scored = race.run([frozen(view, head) for head in frozen_heads(tuple(given), target.task)])
        scores = np.stack([s.item_scores for s in scored], axis=1)
        best = scored[choose(scores, np.zeros(len(scored)), np.array([s.loss for s in scored]))]
        self.strategy_ = best.candidate.strategy
        self.fitted_ = best.candidate.fit_all(race.problem, best.out_of_fold)

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        if hasattr(self, "model_"):
            found, failures = self.model_.probabilities([*map(_as_item(self.model_.card.modality), X)])
            if failures:
                row = min(failures)
                raise DataError(f"item {row} ({X[row]!r}) cannot be read: {failures[row]}")
            return found
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(self.fitted_.calibration.probabilities(self.fitted_.head.scores(x)))


class HeadstartClassifier(ClassifierMixin, _Headstart):  # type: ignore[misc]
    """A classifier on feature arrays, texts or image paths, chosen and calibrated by out-of-fold evidence.

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

    def fit(self, X: Any, y: Any) -> HeadstartClassifier:
        """Fit on X: (n, d) numbers, or n texts or paths; y: (n,) labels."""
        items = _items(X)
        if items is not None:
            y = column_or_1d(y, warn=True)
            self.classes_, codes = np.unique(y, return_inverse=True)
            self._fit_items(items, _names(len(self.classes_))[codes], None if len(self.classes_) < 3 else "multiclass")
            return self
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"This classifier needs at least two classes; the data has one class: {self.classes_[0]!r}"
            )
        task: Task = "binary" if len(self.classes_) == 2 else "multiclass"
        self._fit_array(X, Target(task, codes.astype(np.int64), tuple(map(str, self.classes_))))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) calibrated probabilities, columns as `classes_`."""
        return self._probabilities(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) the most probable labels."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[best])


class HeadstartRegressor(RegressorMixin, _Headstart):  # type: ignore[misc]
    """A regressor on feature arrays, texts or image paths; parameters as HeadstartClassifier."""

    def fit(self, X: Any, y: Any) -> HeadstartRegressor:
        """Fit on X: (n, d) numbers, or n texts or paths; y: (n,) numbers."""
        items = _items(X)
        if items is not None:
            self._fit_items(items, column_or_1d(y, warn=True).astype(np.float64), "regression")
            return self
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        if len(X) < 2:
            raise ValueError(f"This regressor needs at least 2 samples; got {len(X)} sample")
        self._fit_array(X, Target("regression", y.astype(np.float64), ("y",)))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n,) predictions."""
        return self._probabilities(X)[:, 0]


def _items(X: Any) -> list[Any] | None:
    """The items if X is a flat sequence of texts or paths, else None."""
    if (isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "UO") or isinstance(X, (list, tuple)):
        items = list(X)
        if items and all(isinstance(item, (str, Path)) for item in items):
            return items
    return None


def _as_item(modality: str) -> Any:
    return Path if modality == "image" else str


def _names(n: int) -> NDArray[np.str_]:
    """Class names that sort as their codes do."""
    return np.array([f"{code:06d}" for code in range(n)])
