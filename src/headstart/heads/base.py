"""What a head is: a map from features to scores, with out-of-sample scores for the items it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headstart.tasks import Target, Task

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class HeadState:
    """A fitted head as inert data: what the artefact stores.

    Attributes:
        kind: the registered name of the head.
        arrays: to safetensors.
        settings: to JSON: chosen hyperparameters and whatever `restore` needs.
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]


class FittedHead(Protocol):
    """A head after fitting.

    Attributes:
        loo_scores: (n, C) float64 scores of each training item from a fit that did not see it (nor its group); None
            for a head that could only find them by fitting again and again (boosted trees): its caller has folds.
    """

    loo_scores: NDArray[np.float64] | None

    def scores(self, x: Floats) -> NDArray[np.float64]:
        """(m, C) float64 uncalibrated scores of x (m, d); the class with the largest is the prediction.

        Regression: (m, 1), the prediction itself. Multilabel: C columns, a label holds where its probability after
        calibration is at least one half.
        """

    def state(self) -> HeadState: ...


@runtime_checkable
class BlockHead(Protocol):
    """A head that weighs blocks of columns (the taps of a source) and has to know where they end."""

    def of_blocks(self, blocks: tuple[int, ...]) -> Head:
        """The head for features whose blocks, in column order, have these widths."""


class Head(Protocol):
    """A way to fit. One file each; registered under headstart.heads; holds no fitted state."""

    def supports(self, task: Task) -> bool: ...

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedHead:
        """Fit on x (n, d), choosing hyperparameters by out-of-sample score on these items only.

        Args:
            weights: (n,) non-negative weights of the items, None for equal.
            groups: (n,) codes; an item's loo_scores then come from fits without its whole group.
        """

    def restore(self, state: HeadState) -> FittedHead:
        """The fitted head from its state (loo_scores None)."""
