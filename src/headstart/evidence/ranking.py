"""Scores of a ranking: area under the ROC curve, average precision. Ties count one half, respectively together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def macro_auc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The area under the ROC curve, averaged over columns, and each item's influence on it.

    A column without a positive or without a negative item says nothing and is left out. The influences are DeLong's
    structural components (DeLong, DeLong & Clarke-Pearson 1988): for a positive item the share of negatives below it,
    for a negative the share of positives above it, centred and divided by the number of its kind. The sum of their
    squares estimates the variance; summed within groups first, it is Obuchowski's (1997) for clustered data.

    Args:
        positive: (n, C) what is true.
        scores: (n, C) larger for more likely.

    Returns:
        the average (nan where no column counts) and (n,) influences.
    """
    influence = np.zeros(len(scores))
    areas = []
    for truth, score in zip(positive.T, scores.T, strict=True):
        if truth.all() or not truth.any():
            continue
        above, below = np.sort(score[truth]), np.sort(score[~truth])
        won = _mean_rank(below, score[truth])  # (m,) share of negatives below each positive
        lost = 1.0 - _mean_rank(above, score[~truth])  # (n - m,) share of positives above each negative
        area = float(won.mean())
        areas.append(area)
        influence[truth] += (won - area) / len(won)
        influence[~truth] += (lost - area) / len(lost)
    if not areas:
        return float("nan"), influence
    return float(np.mean(areas)), influence / len(areas)


def _mean_rank(ordered: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of `ordered` below each value, ties counting one half."""
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return ranks / (2.0 * len(ordered))


def mean_average_precision(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Average precision, averaged over the columns that have a positive item; nan where none has.

    AP = sum_k (R_k - R_{k-1}) P_k over the distinct thresholds: the mean over positive items of the precision
    among all items scored at least as high, without interpolation.

    Args:
        positive: (n, C) what is true.
        scores: (n, C) larger for more likely.
    """
    precisions = []
    for truth, score in zip(positive.T, scores.T, strict=True):
        if not truth.any():
            continue
        hits = np.sort(score[truth])
        hits_above = len(hits) - np.searchsorted(hits, hits, "left")
        all_above = len(score) - np.searchsorted(np.sort(score), hits, "left")
        precisions.append(float(np.mean(hits_above / all_above)))
    return float(np.mean(precisions)) if precisions else float("nan")
