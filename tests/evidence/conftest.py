"""Targets and predictions that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.tasks import Target

Case = tuple[Target, NDArray[np.float64]]


def _multiclass(n: int = 200, classes: int = 5, seed: int = 0, signal: float = 1.5) -> Case:
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, size=n, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), y] += signal
    powers = np.exp(scores)
    return Target("multiclass", y, tuple(map(str, range(classes)))), powers / powers.sum(axis=1, keepdims=True)


def _binary(n: int = 200, seed: int = 0, signal: float = 1.0, share: float = 0.3) -> Case:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int64)
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + signal * (2 * y - 1))))
    return Target("binary", y, ("no", "yes")), np.column_stack([1 - p, p])


def _multilabel(n: int = 200, labels: int = 4, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    y = (rng.random((n, labels)) < np.linspace(0.1, 0.5, labels)).astype(np.uint8)
    p = 1 / (1 + np.exp(-(2 * rng.normal(size=(n, labels)) + 3 * y - 1.5)))
    return Target("multilabel", y, tuple(map(str, range(labels)))), p


def _regression(n: int = 200, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return Target("regression", y, ("v",)), (0.9 * y + 0.4 * rng.normal(size=n))[:, None]


@pytest.fixture(scope="session")
def draw() -> Callable[..., Case]:
    """draw(task, n=..., seed=...): a target and imperfect predictions of it."""
    makers = {"binary": _binary, "multiclass": _multiclass, "multilabel": _multilabel, "regression": _regression}
    return lambda task, **options: makers[task](**options)
