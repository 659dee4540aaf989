"""The fitted head that is a linear map of unit rows (cosines), and its way to a file and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError
from headstart.heads.base import Floats, HeadState
from headstart.heads.cosines import unit_rows
from headstart.heads.linear import LinearMap, stored_weights
from headstart.heads.rows import check_scoring, chunks

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FittedUnitLinear:
    """A linear map of unit rows.

    Attributes:
        kind: the registered name of the head that made it.
        center: (d,) float64 mean of each column.
        map: from unit rows to scores.
        settings: `blocks`, and chosen hyperparameters; JSON values only.
        loo_scores: (n, C) scores of each item from the fit without it, or its group; None after `restore`.
    """

    kind: str
    center: Array
    map: LinearMap
    settings: Mapping[str, Any]
    loo_scores: Array | None = None

    def scores(self, x: Floats) -> Array:
        """(m, C) float64 scores of x (m, d)."""
        check_scoring(x, len(self.center))
        blocks = tuple(self.settings["blocks"])
        out = np.empty((len(x), len(self.map.bias)))
        for rows in chunks(len(x), 16 * x.shape[1]):
            out[rows] = self.map.scores(unit_rows(x[rows], self.center, blocks, np.float64))
        return out

    def state(self) -> HeadState:
        """Arrays `center` (d,), `weight` (d, C) and `bias` (C,), and the settings."""
        arrays = {"center": self.center, "weight": self.map.weight, "bias": self.map.bias}
        return HeadState(self.kind, arrays, dict(self.settings))

    @classmethod
    def restore(cls, state: HeadState) -> FittedUnitLinear:
        """The fitted head from its state; loo_scores are None.

        Raises:
            ArtefactError: something is missing, or the shapes do not fit together.
        """
        weight, bias = stored_weights(state)
        center, blocks = state.arrays.get("center"), state.settings.get("blocks")
        whole = (
            isinstance(blocks, (list, tuple))
            and all(type(width) is int and width > 0 for width in blocks)
            and center is not None
            and center.shape == weight.shape[:1] == (sum(blocks),)
            and center.dtype.kind == "f"
            and bool(np.isfinite(center).all())
        )
        if center is None or not whole:
            raise ArtefactError(
                f"the stored {state.kind} head's center and blocks do not fit its weights: damaged file"
            )
        return cls(state.kind, center.astype(np.float64), LinearMap(weight, bias), dict(state.settings))
