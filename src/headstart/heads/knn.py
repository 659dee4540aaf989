"""Nearest neighbours by cosine on scaled features; their number and the votes' sharpness are chosen left out.

Of an item's k nearest training items each votes with weight w exp((cosine - cosine of the nearest) / temperature).
Scores are logarithms of smoothed shares of the vote for exclusive classes, log odds of them for labels, and the mean
vote for numbers. Training rows are kept in float16 at unit length; past STORED_LIMIT values, a random part of them.

Left-out scores take an item, or its group, out of the neighbours and their votes, exactly; not out of the means and
spreads that scale the columns: those see no labels and move by about the share left out, and without each item every
cosine would be another. Refits on three mixed classes of 64 columns differ by .03 of the vote on average of 24 items,
by .01 of 100 and .001 of 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError
from headstart.heads.base import Floats, HeadState
from headstart.heads.likelihood import log_loss
from headstart.heads.rows import check_scoring, check_training, chunks
from headstart.heads.scaling import Scaling
from headstart.tasks import TASKS, Target, Task

Array = NDArray[np.float64]

NEIGHBOURS = (1, 3, 5, 10, 20, 50)
TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0)
# What all classes together get besides the votes, of which the nearest neighbour's is one.
SMOOTHING = 0.1
# At most this many stored values: 64 MiB of float16 in the artefact.
STORED_LIMIT = 2**25
ARRAYS = ("center", "factor", "items", "votes", "weights")


@dataclass(frozen=True, eq=False)
class FittedKnn:
    """Nearest neighbours among stored items.

    Attributes:
        scaling: of the features, fitted on all training items.
        items: (s, d) float16 scaled rows at unit length.
        votes: (s, C) float32 what each votes for: one-hot, multi-hot or the number.
        weights: (s,) float32 weight of each vote, 1 on average.
        settings: task, neighbours, temperature.
        loo_scores: (n, C) scores of the training items among the others (of other groups), under the one scaling; None
            after `restore`.
    """

    scaling: Scaling
    items: NDArray[np.float16]
    votes: NDArray[np.float32]
    weights: NDArray[np.float32]
    settings: Mapping[str, Any]
    loo_scores: Array | None = None

    def scores(self, x: Floats) -> Array:
        """(m, C) float64 scores of x (m, d)."""
        check_scoring(x, len(self.scaling.center))
        k, temperature = int(self.settings["neighbours"]), float(self.settings["temperature"])
        stored = self.items.astype(np.float32)
        out = np.empty((len(x), self.votes.shape[1]))
        for rows in chunks(len(x), 16 * x.shape[1] + 8 * len(stored) + 4 * k * out.shape[1]):
            cosines = _unit(x[rows], self.scaling).astype(np.float32) @ stored.T
            near = _Nearest.of(cosines, self.votes, self.weights, k)
            out[rows] = near.scores((k,), temperature, self.settings["task"])[0]
        return out

    def state(self) -> HeadState:
        """Arrays `center`, `factor` (d,), `items` (s, d), `votes` (s, C), `weights` (s,), and the settings."""
        values = (self.scaling.center, self.scaling.factor, self.items, self.votes, self.weights)
        return HeadState("knn", dict(zip(ARRAYS, values, strict=True)), dict(self.settings))


@dataclass(frozen=True)
class Knn:
    """k nearest neighbours. Any task.

    Attributes:
        neighbours, temperatures: what is chosen from.
    """

    neighbours: tuple[int, ...] = NEIGHBOURS
    temperatures: tuple[float, ...] = TEMPERATURES

    def supports(self, task: Task) -> bool:
        """True: any task."""
        return True

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedKnn:
        """Fit on x (n, d), by left-out log loss (numbers: squared error); `seed` picks what is stored of many items.

        Raises:
            DataError: shapes that do not match, features that are not finite, fewer than two items or groups.
        """
        given = check_training(x, target, weights, groups)
        scaling = Scaling.fit(x, given)
        stored = np.flatnonzero(given)
        room = max(2, STORED_LIMIT // x.shape[1])
        if len(stored) > room:
            stored = np.sort(np.random.default_rng(seed).choice(stored, room, replace=False))
        items = np.empty((len(stored), x.shape[1]), dtype=np.float16)
        for rows in chunks(len(stored), 16 * x.shape[1]):
            items[rows] = _unit(x[stored[rows]], scaling)
        votes = target.encoded()[stored].astype(np.float32)
        vote_weights = (given[stored] / given[stored].mean()).astype(np.float32)
        fitted = FittedKnn(scaling, items, votes, vote_weights, {"task": target.task})
        names = np.arange(len(x)) if groups is None else groups
        k, temperature, loo = self._choose(x, target, given, fitted, names, names[stored])
        settings = {"task": target.task, "neighbours": k, "temperature": temperature}
        return FittedKnn(scaling, items, votes, vote_weights, settings, loo)

    def restore(self, state: HeadState) -> FittedKnn:
        """The fitted head from its state.

        Raises:
            ArtefactError: something is missing, or the shapes do not fit together.
        """
        arrays = [state.arrays.get(name) for name in ARRAYS]
        center, factor, items, votes, weights = arrays
        if center is None or factor is None or items is None or votes is None or weights is None:
            raise ArtefactError(f"the stored knn head lacks one of its arrays {', '.join(ARRAYS)}: the file is damaged")
        whole = items.ndim == votes.ndim == 2 and items.shape[1:] == center.shape == factor.shape
        whole = whole and len(items) == len(votes) == len(weights) and weights.ndim == 1
        whole = whole and all(array.dtype.kind == "f" and np.isfinite(array).all() for array in state.arrays.values())
        settings = dict(state.settings)
        k, temperature = settings.get("neighbours"), settings.get("temperature")
        chosen = type(k) is int and 1 <= k <= len(items)
        chosen = chosen and isinstance(temperature, (int, float)) and 0 < temperature < np.inf
        if not whole or not chosen or settings.get("task") not in TASKS:
            raise ArtefactError("the stored knn head's arrays or settings do not fit together: the file is damaged")
        return FittedKnn(Scaling(center, factor), items, votes, weights, settings)

    def _choose(
        self,
        x: Floats,
        target: Target,
        weights: Array,
        fitted: FittedKnn,
        names: NDArray[np.int64],
        stored_names: NDArray[np.int64],
    ) -> tuple[int, float, Array]:
        """The neighbours and temperature of the least left-out loss, and the scores with them."""
        candidates = sorted({min(k, len(fitted.items)) for k in self.neighbours})
        near = _Nearest.without_own(x, fitted, names, stored_names, candidates[-1])
        y = target.encoded()
        best: tuple[float, int, float, Array] = (np.inf, 0, 0.0, np.empty(0))
        for temperature in self.temperatures:
            for k, scores in zip(candidates, near.scores(tuple(candidates), temperature, target.task), strict=True):
                if target.task == "regression":
                    loss = float(weights @ np.square(scores - y).sum(axis=1))
                else:
                    loss = float(weights @ log_loss(scores, y, target.exclusive))
                if loss < best[0]:
                    best = (loss, k, temperature, scores)
        return best[1:]


@dataclass(frozen=True, eq=False)
class _Nearest:
    """The K nearest stored items of m items, nearest first: cosines, weights (m, K), and votes of all stored items."""

    cosines: NDArray[np.float32]
    weights: NDArray[np.float32]
    order: NDArray[np.int64]
    votes: NDArray[np.float32]

    @classmethod
    def of(
        cls, cosines: NDArray[np.float32], votes: NDArray[np.float32], weights: NDArray[np.float32], k: int
    ) -> _Nearest:
        """Of cosines (m, s) to all stored items."""
        part = np.argpartition(-cosines, min(k, cosines.shape[1]) - 1, axis=1)[:, :k]
        by_row = np.take_along_axis(cosines, part, axis=1)
        rank = np.argsort(-by_row, axis=1, kind="stable")
        order = np.take_along_axis(part, rank, axis=1)
        return cls(np.take_along_axis(by_row, rank, axis=1), weights[order], order, votes)

    @classmethod
    def without_own(
        cls, x: Floats, fitted: FittedKnn, names: NDArray[np.int64], stored_names: NDArray[np.int64], k: int
    ) -> _Nearest:
        """Of the training items x (n, d), each among the stored items of other names than its own."""
        stored = fitted.items.astype(np.float32)
        parts: list[_Nearest] = []
        for rows in chunks(len(x), 16 * x.shape[1] + 12 * len(stored)):
            every = len(stored) == len(x)
            units = stored[rows] if every else _unit(x[rows], fitted.scaling).astype(np.float32)
            cosines = units @ stored.T
            cosines[names[rows, None] == stored_names] = -np.inf
            parts.append(cls.of(cosines, fitted.votes, fitted.weights, k))
        return cls(
            np.concatenate([part.cosines for part in parts]),
            np.concatenate([part.weights for part in parts]),
            np.concatenate([part.order for part in parts]),
            fitted.votes,
        )

    def scores(self, neighbours: tuple[int, ...], temperature: float, task: Task) -> list[Array]:
        """Scores (m, C) of each number of neighbours, in ascending order."""
        nearest = np.maximum(self.cosines[:, :1], -1.0)
        power = self.weights * np.exp((self.cosines - nearest) / np.float32(temperature))  # (m, K)
        total, cast = np.zeros((len(power), 1)), np.zeros((len(power), self.votes.shape[1]))
        out, done = [], 0
        for k in neighbours:
            for column in range(done, k):
                cast += power[:, column, None] * self.votes[self.order[:, column]]
            total += power[:, done:k].sum(axis=1, keepdims=True)
            done = k
            out.append(_as_scores(cast, total, task))
        return out


def _as_scores(cast: Array, total: Array, task: Task) -> Array:
    """Scores of votes cast (m, C) of which there are `total` (m, 1)."""
    if task == "regression":
        return np.asarray(cast / np.maximum(total, 1e-30))
    if task == "multilabel":
        yes, no = cast + SMOOTHING / 2, np.maximum(total - cast, 0.0) + SMOOTHING / 2
        return np.asarray(np.log(yes) - np.log(no))
    return np.asarray(np.log(cast + SMOOTHING / cast.shape[1]) - np.log(total + SMOOTHING))


def _unit(x: Floats, scaling: Scaling) -> NDArray[np.float16]:
    """Scaled rows (m, d) at unit length, in float16; a row at the mean stays zero."""
    z = scaling.apply(x, np.float32)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return np.asarray(z / np.maximum(length, 1e-30)).astype(np.float16)
