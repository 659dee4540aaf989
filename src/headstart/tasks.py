"""What is to be predicted: the kind of task, and targets as arrays.

The one vocabulary that data, heads, evidence and model share. Arrays only; no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Task = Literal["binary", "multiclass", "multilabel", "regression"]
TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "regression")


@dataclass(frozen=True, eq=False)
class Target:
    """Labels of n items.

    Attributes:
        task: the kind of task.
        y: binary, multiclass: (n,) int64 codes into `classes`; multilabel: (n, C) uint8 of 0 and 1;
            regression: (n,) float64.
        classes: the C class names, sorted; for regression the name of the one output.
    """

    task: Task
    y: NDArray[np.generic]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_outputs(self) -> int:
        """C: the columns that a head scores (2 for binary, 1 for regression)."""
        return len(self.classes)

    @property
    def exclusive(self) -> bool:
        """True where exactly one class holds for an item."""
        return self.task in ("binary", "multiclass")

    def encoded(self) -> NDArray[np.float64]:
        """(n, C) float64: one-hot, multi-hot, or the numbers as one column."""
        if self.exclusive:
            return np.eye(self.n_outputs)[self.y.astype(np.int64)]
        return self.y.astype(np.float64).reshape(len(self.y), -1)

    def take(self, index: NDArray[np.generic]) -> Target:
        """The targets at `index` (positions or a mask); the classes stay."""
        return Target(self.task, self.y[index], self.classes)
