"""Where trainings are read off: the epoch and the blend with the source that the other folds advise.

A training of each fold gives its test items' scores at every reading. For fold k the reading, and then the
temperature, are those with the least log loss on the other folds: no label of a fold chooses what it is scored with.
What ships, trained on everything, is read where all folds together have the least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Reading
from headstart.data.splits import Fold
from headstart.evidence.calibration import Calibration
from headstart.plan.crossfit import calibrated
from headstart.tasks import Target

Scores = NDArray[np.float64]

# Readings are compared at the best of these slopes: those of logits that were trained by cross-entropy are near 1.
_SLOPES = tuple(float(slope) for slope in 2.0 ** np.arange(-4, 2.5, 0.5))


@dataclass(frozen=True, eq=False)
class ReadOff:
    """What trainings say where they are read off.

    Attributes:
        scores, probabilities: (n, C) of the items that the folds test, each at the reading that the other folds chose;
            zero elsewhere.
        reading: the one that all folds together choose.
        calibration: of scores at that reading, from all folds.
    """

    scores: Scores
    probabilities: Scores
    reading: Reading
    calibration: Calibration


def read_off(
    target: Target,
    folds: Sequence[Fold],
    given: Mapping[int, Sequence[Scores]],
    readings: Sequence[Reading],
    weights: Scores | None = None,
) -> ReadOff:
    """Choose readings and temperatures by the folds that were trained.

    A single fold has no others: it is read at the reading that suits it best, at the temperature of its training,
    which flatters it and is good enough to decide whether to go on.

    Args:
        given: position of a fold -> its test items' scores (len(test), C) at each reading.
        weights: (n,) of the items; None for equal ones.
    """
    n = len(target)
    at = [np.zeros((n, target.n_outputs)) for _ in readings]  # (n, C) each
    for k, by_reading in given.items():
        for scores, one in zip(at, by_reading, strict=True):
            scores[folds[k].test] = one
    losses = np.stack([fold_losses(target, folds[k].test, given[k], weights) for k in given])  # (K, R, S)
    rows = np.sort(np.concatenate([folds[k].test for k in given]))
    scores, probabilities = np.zeros_like(at[0]), np.zeros_like(at[0])
    for position, k in enumerate(given):
        others = [other for other in range(len(given)) if other != position]
        chosen = best_reading(losses[others or [position]])
        test = folds[k].test
        calibration = calibrated(target, at[chosen], np.setdiff1d(rows, test), weights)
        scores[test] = at[chosen][test]
        probabilities[test] = calibration.probabilities(scores[test])
    chosen = best_reading(losses)
    return ReadOff(scores, probabilities, readings[chosen], calibrated(target, at[chosen], rows, weights))


def best_reading(losses: NDArray[np.float64]) -> int:
    """The position of the reading with the least summed loss at its best slope; of equals the first, the cheapest.

    Args:
        losses: (K, R, S) of K folds, R readings, S slopes.
    """
    return int(losses.sum(axis=0).min(axis=1).argmin())


def fold_losses(
    target: Target, test: NDArray[np.int64], by_reading: Sequence[Scores], weights: Scores | None = None
) -> NDArray[np.float64]:
    """(R, S) the summed loss of a fold's test items at each reading and slope; regression: squared error, one slope."""
    y = target.take(test).encoded()
    w = np.ones(len(test)) if weights is None else weights[test]
    if target.task == "regression":
        return np.array([[float(w @ ((scores - y) ** 2).sum(axis=1))] for scores in by_reading])
    loss = _cross_entropy if target.exclusive else _binary_cross_entropy
    return np.array([[float(w @ loss(slope * scores, y)) for slope in _SLOPES] for scores in by_reading])


def _cross_entropy(logits: Scores, y: Scores) -> Scores:
    """(m,) - log softmax of the true class."""
    below = logits - logits.max(axis=1, keepdims=True)
    losses: Scores = np.log(np.exp(below).sum(axis=1)) - (below * y).sum(axis=1)
    return losses


def _binary_cross_entropy(logits: Scores, y: Scores) -> Scores:
    """(m,) - sum log sigmoid of what is true of every label: log(1 + e^z) - y z."""
    losses: Scores = (np.logaddexp(0.0, logits) - y * logits).sum(axis=1)
    return losses
