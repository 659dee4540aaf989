"""Training items as heads take them: checked once, then walked in chunks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from headstart.errors import ArtefactError, DataError
from headstart.heads.base import Floats
from headstart.tasks import Target

CHUNK_BYTES = 32 * 2**20


def chunks(n: int, row_bytes: int, limit: int = CHUNK_BYTES) -> Iterator[slice]:
    """Slices that cover range(n), each of about `limit` bytes at `row_bytes` a row (at least one row)."""
    step = max(1, limit // max(1, row_bytes))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def working_dtype(x: Floats) -> DTypeLike:
    """float64 for float64 features, else float32: what a matrix product over the items is computed in."""
    return np.float64 if x.dtype == np.float64 else np.float32


def check_training(
    x: Floats, target: Target, weights: NDArray[np.float64] | None, groups: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """The weights to use, (n,) float64 (ones where none were given), after checking that all fits together.

    Raises:
        DataError: shapes that do not match, fewer than two items of positive weight, a negative or non-finite weight,
            or groups of which fewer than two have weight (nothing would be left to fit on without one).
    """
    if x.ndim != 2 or x.shape[0] != len(target):
        raise DataError(f"features have shape {x.shape} for {len(target)} targets: give one row a target")
    w = np.ones(x.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (x.shape[0],) or not np.isfinite(w).all() or (w < 0).any():
        raise DataError(f"weights must be {x.shape[0]} finite numbers of at least zero, got shape {w.shape}")
    if np.count_nonzero(w) < 2:
        raise DataError(f"{np.count_nonzero(w)} items have positive weight: a head needs at least two")
    if groups is not None:
        if np.shape(groups) != (x.shape[0],):
            raise DataError(f"groups must be {x.shape[0]} codes, got shape {np.shape(groups)}")
        if len(np.unique(groups[w > 0])) < 2:
            raise DataError("all items are of one group: leaving it out leaves nothing, give at least two groups")
    return w


def present_classes(target: Target, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(C,) True where a class has an item of positive weight (multilabel, regression: True everywhere)."""
    if not target.exclusive:
        return np.ones(target.n_outputs, dtype=bool)
    return np.bincount(target.y.astype(np.int64), weights=weights, minlength=target.n_outputs) > 0


def present_without(
    target: Target, weights: NDArray[np.float64], groups: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """(n, C) `present_classes` as the fit without each item, or without its group, sees it."""
    if not target.exclusive:
        return np.ones((len(target), target.n_outputs), dtype=bool)
    _, member = np.unique(np.arange(len(target)) if groups is None else groups, return_inverse=True)
    counts = np.zeros((int(member.max()) + 1, target.n_outputs), dtype=np.int64)
    np.add.at(counts, (member, target.y.astype(np.int64)), weights > 0)
    return np.asarray((counts.sum(axis=0) - counts > 0)[member])


def group_rows(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The positions of each group's items, in the order of the groups' codes."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, starts)


def check_scoring(x: Floats, width: int) -> None:
    """Refuse features of another width than the head was fitted on.

    Raises:
        DataError: x is not (m, width).
    """
    if x.ndim != 2 or x.shape[1] != width:
        raise DataError(f"features have shape {x.shape}, the head was fitted on {width} columns")


def settings_value(settings: Mapping[str, Any], key: str) -> Any:
    """A setting that a stored head cannot do without.

    Raises:
        ArtefactError: it is not there.
    """
    if key not in settings:
        raise ArtefactError(f"the stored head has no {key!r}: the file is damaged or from another version")
    return settings[key]
