"""Linear maps from features to scores, and the fitted head that is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError
from headstart.heads.base import Floats, HeadState
from headstart.heads.rows import check_scoring, chunks
from headstart.heads.scaling import Scaling


@dataclass(frozen=True, eq=False)
class LinearMap:
    """scores = x @ weight + bias, on features as they come (a scaling is folded in).

    Attributes:
        weight: (d, C) float32 or float64.
        bias: (C,) float64.
    """

    weight: Floats
    bias: NDArray[np.float64]

    @classmethod
    def fold(cls, weight: Floats, bias: NDArray[np.float64], scaling: Scaling) -> LinearMap:
        """The map whose scores are scaling(x) @ weight + bias, with weight rounded to float32.

        The bias is made from the rounded weight: at the features' mean the scores stay exact, so that features with
        a large offset lose nothing.
        """
        with np.errstate(over="ignore"):
            folded: Floats = (weight * scaling.factor[:, None]).astype(np.float32)
        if not np.isfinite(folded).all():  # features so small that float32 cannot hold the weight
            folded = weight * scaling.factor[:, None]
        return cls(folded, bias - scaling.center @ folded.astype(np.float64))

    def scores(self, x: Floats) -> NDArray[np.float64]:
        """(m, C) float64 scores of x (m, d), computed in float64 over chunks of rows."""
        check_scoring(x, len(self.weight))
        weight = self.weight.astype(np.float64)
        out = np.empty((len(x), weight.shape[1]))
        for rows in chunks(len(x), 8 * x.shape[1]):
            out[rows] = x[rows].astype(np.float64) @ weight
        out += self.bias
        return out


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """A fitted head whose scores are a linear map: ridge and logistic regression end here.

    Attributes:
        kind: the registered name of the head that made it.
        map: the fitted map.
        settings: chosen hyperparameters, JSON values only.
        loo_scores: (n, C) float64 out-of-sample scores of the training items; None after `restore`.
    """

    kind: str
    map: LinearMap
    settings: Mapping[str, Any] = field(default_factory=dict)
    loo_scores: NDArray[np.float64] | None = None

    def scores(self, x: Floats) -> NDArray[np.float64]:
        """(m, C) float64 scores of x (m, d)."""
        return self.map.scores(x)

    def state(self) -> HeadState:
        """Arrays `weight` (d, C) and `bias` (C,), and the settings."""
        return HeadState(self.kind, {"weight": self.map.weight, "bias": self.map.bias}, dict(self.settings))

    @classmethod
    def restore(cls, state: HeadState) -> FittedLinear:
        """The fitted head from its state; loo_scores are None.

        Raises:
            ArtefactError: an array is missing or holds what is no number, or the shapes do not fit together.
        """
        weight, bias = stored_weights(state)
        return cls(state.kind, LinearMap(weight, bias), dict(state.settings))


def stored_weights(state: HeadState) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The arrays `weight` (d, C) and `bias` (C,) of a linear head's state.

    Raises:
        ArtefactError: one is missing or holds what is no finite number, or the shapes do not fit together.
    """
    weight, bias = state.arrays.get("weight"), state.arrays.get("bias")
    if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[1:]:
        raise ArtefactError(f"the stored {state.kind} head lacks a weight (d, C) with a bias (C,): file damaged?")
    if not all(part.dtype.kind == "f" and np.isfinite(part).all() for part in (weight, bias)):
        raise ArtefactError(f"the stored {state.kind} head has weights that are no finite numbers: damaged file")
    return weight, bias.astype(np.float64)
