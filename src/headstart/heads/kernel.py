"""Kernel ridge on cosines, layer by layer, with exact leave-one-out: near items count, far ones hardly.

Ridge on one-hot targets bends its hyperplanes to items that no decision turns on, and loses where classes are many and
labels few. In the space of the kernel

    k(x, x') = mean over blocks b of exp((cos_b(x, x') - 1) / (bandwidth * typical_b))

it does not: cos_b is the cosine of two items in block b (a tap of a source), centred at the training mean, typical_b
the median of 1 - cos_b among training items, so that no block outshouts another. The penalty comes from ridge's grid by
exact left-out squared error, from one factorisation (Allen 1974; see loo); the bandwidth by the same error on a part of
the items. Both are chosen given the items' features, whatever the left-out item's label.

Least squares aims at 0 and 1. The score of class c is log softplus(s_c / SOFT), about log s_c where the fit says more
than nothing and falling steadily below: differences of scores are then log odds, which one temperature calibrates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError
from headstart.heads.base import Floats, HeadState
from headstart.heads.cosines import all_unit_rows, in_blocks, unit_rows
from headstart.heads.eigenbasis import Dual, floor_weights
from headstart.heads.loo import RidgePath, leave_out, left_out_scores
from headstart.heads.ridge import ABSENT, PENALTIES
from headstart.heads.rows import check_scoring, check_training, chunks, present_classes, present_without
from headstart.heads.scaling import column_means
from headstart.tasks import TASKS, Target, Task

Array = NDArray[np.float64]

BANDWIDTHS: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)
# The bandwidth is chosen on at most so many items: on 400 the choice wavers (solar cells, three draws: .2 points).
SAMPLE = 500
SOFT = 0.1
# A block's typical distance is at least this.
_NEAREST = 1e-3
ARRAYS = ("center", "items", "widths", "weight", "bias")


@dataclass(frozen=True, eq=False)
class FittedKernel:
    """A weighted sum of kernels with the training items.

    Attributes:
        center: (d,) float64 mean of each column.
        items: (n, d) float16, each block of each training item centred and at unit length.
        widths: (b,) float64 bandwidth of each block.
        weight: (n, C) float64; bias: (C,) float64.
        settings: task, blocks, penalty, bandwidth.
        loo_scores: (n, C) scores of each item from the fit without it, or its group; None after `restore`.
    """

    center: Array
    items: NDArray[np.float16]
    widths: Array
    weight: Array
    bias: Array
    settings: Mapping[str, Any]
    loo_scores: Array | None = None

    def scores(self, x: Floats) -> Array:
        """(m, C) float64 scores of x (m, d)."""
        check_scoring(x, len(self.center))
        blocks = tuple(self.settings["blocks"])
        stored = self.items.astype(np.float32)
        out = np.empty((len(x), self.weight.shape[1]))
        for rows in chunks(len(x), 8 * x.shape[1] + 24 * len(stored)):
            units = unit_rows(x[rows], self.center, blocks, np.float16).astype(np.float32)
            out[rows] = _kernel(_distances(units, stored, blocks), self.widths) @ self.weight + self.bias
        return _link(out, self.settings["task"])

    def state(self) -> HeadState:
        """The arrays of ARRAYS, and the settings."""
        values = (self.center, self.items, self.widths, self.weight, self.bias)
        return HeadState("kernel", dict(zip(ARRAYS, values, strict=True)), dict(self.settings))


@dataclass(frozen=True)
class Kernel:
    """Kernel ridge. Any task.

    Attributes:
        blocks: the widths of the blocks, in column order; empty where all columns are one block.
        bandwidths, penalties: what is chosen from; penalties relative to the kernel matrix's mean eigenvalue.
    """

    blocks: tuple[int, ...] = ()
    bandwidths: tuple[float, ...] = BANDWIDTHS
    penalties: tuple[float, ...] = PENALTIES

    def of_blocks(self, blocks: tuple[int, ...]) -> Kernel:
        """This head for features of these blocks."""
        return replace(self, blocks=blocks)

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
    ) -> FittedKernel:
        """Fit on x (n, d) in memory of 3 n^2 numbers; `seed` draws the items that the bandwidth is chosen on.

        Raises:
            DataError: shapes that do not match, features that are not finite, fewer than two items or groups.
        """
        given = check_training(x, target, weights, groups)
        floored = floor_weights(given)
        blocks = self.blocks or (x.shape[1],)
        center = column_means(x, given)
        items = all_unit_rows(x, center, blocks, np.float16)
        y = target.encoded()
        some = _some(given, seed)
        units = items.astype(np.float32)
        part = units[some]
        distances = list(_distances(part, part, blocks))
        pairs = np.flatnonzero(~np.tri(len(some), dtype=bool))
        typical = np.array([max(float(np.median(block.take(pairs))), _NEAREST) for block in distances])
        among = None if groups is None or len(np.unique(groups[some])) < 2 else groups[some]

        def path(bandwidth: float) -> _Path:
            kernel = _kernel(distances, bandwidth * typical)
            return self._path(items[some], kernel, y[some], floored[some], among)

        found, bandwidth = self._searched(path)
        if len(some) < len(x):
            kernel = _kernel(_distances(units, units, blocks), bandwidth * typical)
            found = self._path(items, kernel, y, floored, groups)
        present = present_classes(target, given)
        bias = np.where(present, found.bias, ABSENT)
        loo = left_out_scores(found.path, found.solved, found.penalty, found.gap, groups)
        loo[~present_without(target, given, groups)] = ABSENT
        settings = {
            "task": target.task,
            "blocks": [int(width) for width in blocks],
            "penalty": self.penalties[found.best],
            "bandwidth": bandwidth,
        }
        weight = np.where(present, found.weight, 0.0)
        return FittedKernel(center, items, bandwidth * typical, weight, bias, settings, _link(loo, target.task))

    def restore(self, state: HeadState) -> FittedKernel:
        """The fitted head from its state.

        Raises:
            ArtefactError: something is missing, or the shapes do not fit together.
        """
        center, items, widths, weight, bias = (state.arrays.get(name) for name in ARRAYS)
        if center is None or items is None or widths is None or weight is None or bias is None:
            raise ArtefactError(f"the stored kernel head lacks one of its arrays {', '.join(ARRAYS)}: it is damaged")
        settings = dict(state.settings)
        blocks = settings.get("blocks")
        whole = (
            isinstance(blocks, list)
            and all(type(width) is int and width > 0 for width in blocks)
            and items.shape == (len(weight), sum(blocks))
            and center.shape == items.shape[1:]
            and widths.shape == (len(blocks),)
            and weight.ndim == 2
            and bias.shape == weight.shape[1:]
            and settings.get("task") in TASKS
            and all(np.isfinite(array).all() for array in (center, items, widths, weight, bias))
            and bool((widths > 0).all())
        )
        if not whole:
            raise ArtefactError("the stored kernel head's arrays or settings do not fit together: the file is damaged")
        return FittedKernel(center, items, widths, weight, bias, settings)

    def _searched(self, path: Callable[[float], _Path]) -> tuple[_Path, float]:
        """A bandwidth of less error than its neighbours, and its path: outward from the middle one while that falls."""
        widths = self.bandwidths
        middle = (len(widths) - 1) // 2
        best, at = path(widths[middle]), middle
        for step in (1, -1):
            while 0 <= at + step < len(widths) and (beside := path(widths[at + step])).error < best.error:
                best, at = beside, at + step
            if at > middle:
                break
        return best, widths[at]

    def _path(self, x: Floats, kernel: Array, y: Array, weights: Array, groups: NDArray[np.int64] | None) -> _Path:
        """Ridge in the kernel's space at the penalty with the least left-out error; `kernel` (n, n) is overwritten."""
        root = np.sqrt(weights)
        means = weights @ kernel / weights.sum()
        kernel += means @ weights / weights.sum()
        kernel -= means
        kernel -= means[:, None]
        kernel *= root
        kernel *= root[:, None]
        path = RidgePath.on(Dual.of_kernel(x, kernel, weights), y)
        absolute = np.asarray(self.penalties) * path.basis.mean
        left = leave_out(path, absolute, groups)
        best = left.best
        solved = path.solve(absolute[best])
        weight = root[:, None] * solved
        bias = path.y_mean - means @ weight
        error, gap = float(left.errors[best]), left.gaps[:, best]
        return _Path(path, best, float(absolute[best]), solved, error, gap, weight, bias)


@dataclass(frozen=True, eq=False)
class _Path:
    """Ridge fits in a kernel's space, and the best of them.

    Attributes:
        best, penalty: its position in the grid, and its penalty.
        solved: (n, C) its coefficients on the weighted items.
        error: its left-out squared error; gap: (n,) 1 - h of its hat matrix.
        weight: (n, C) what multiplies the kernel with each item; bias: (C,) what is added.
    """

    path: RidgePath
    best: int
    penalty: float
    solved: Array
    error: float
    gap: Array
    weight: Array
    bias: Array


def _some(weights: Array, seed: int) -> NDArray[np.int64]:
    """At most SAMPLE of the items with weight, ascending; all items where they are few."""
    if len(weights) <= SAMPLE:
        return np.arange(len(weights))
    there = np.flatnonzero(weights)
    return np.sort(np.random.default_rng(seed).permutation(there)[:SAMPLE])


def _distances(
    a: NDArray[np.float32], b: NDArray[np.float32], blocks: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    """For each block (m, n) 1 - cosine of rows of unit length."""
    for left, right in zip(in_blocks(a, blocks), in_blocks(b, blocks), strict=True):
        cosines = left @ right.T
        yield np.subtract(1.0, cosines, out=cosines)


def _kernel(distances: Iterable[NDArray[np.float32]], widths: Array) -> Array:
    """(m, n) float64 mean over blocks of exp(-distance / width), each and their sum in float32."""
    total = power = np.zeros((0, 0), np.float32)
    for block, width in zip(distances, widths, strict=True):
        if block.shape != total.shape:
            total, power = np.zeros_like(block), np.empty_like(block)
        np.multiply(block, np.float32(-1 / width), out=power)
        np.exp(power, out=power)
        total += power
    return total.astype(np.float64) / len(widths)


def _link(scores: Array, task: Task) -> Array:
    """Scores whose differences are log odds, of fits to 0 and 1; numbers stay."""
    if task == "regression":
        return scores
    if task == "multilabel":
        return _log_softplus(scores) - _log_softplus(1.0 - scores)
    return _log_softplus(scores)


def _log_softplus(s: Array) -> Array:
    """log(softplus(s / SOFT)); far below zero, where softplus vanishes, s / SOFT."""
    z = s / SOFT
    return np.where(z < -30.0, z, np.log(np.logaddexp(0.0, np.maximum(z, -30.0))))
