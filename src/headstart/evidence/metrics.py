"""How good predictions are: one number a metric, and one number an item for paired comparison.

Definitions, where the field has several:

    auc                 binary: of the second class. multiclass, multilabel: the mean over classes, one against the
                        rest, of those that have positive and negative items.
    macro_f1            the mean over the classes that are true of, or predicted for, some item.
    balanced_accuracy   the mean recall of the classes that occur.
    balanced_log_loss   the mean over the classes that occur of their items' log loss.
    samples_f1          an item without labels for which none is predicted counts as 1.
    brier               binary: the squared error of the second class's probability (0 to 1); multiclass: summed over
                        classes (0 to 2; Brier 1950); multilabel: the mean over labels.
    log_loss            natural logarithm; multilabel: the mean over labels.
    ece                 15 bins of equal mass (Nixon et al. 2019) of the top class's probability (Guo et al. 2017);
                        multilabel: of every label's probability. Ties share a bin.
    r2                  1 - residual / total sum of squares; nan where the numbers are all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.evidence.ranking import macro_auc, mean_average_precision
from headstart.tasks import Target, Task

Floats = NDArray[np.float64]
Counts = NDArray[np.signedinteger[Any]]

PRIMARY: dict[Task, str] = {
    "binary": "accuracy",
    "multiclass": "accuracy",
    "multilabel": "samples_f1",
    "regression": "r2",
}
"""The metric that decides, by task: the mean of `item_scores`."""

BALANCED = "balanced_accuracy"
"""The metric that decides where every class is to count the same."""

BINS = 15
_SMALLEST = float(np.finfo(np.float64).eps)


def score(target: Target, probabilities: Floats) -> dict[str, float]:
    """Every metric of the task, by name; nan where it is undefined (one class only, constant numbers).

    Args:
        target: n items.
        probabilities: (n, C) float64, calibrated; rows of exclusive classes sum to 1. Regression: (n, 1) predictions.

    Raises:
        DataError: no items, another shape, or a value that is not finite.
    """
    check(target, probabilities)
    if target.task == "regression":
        return _regression(target, probabilities)
    values = {"accuracy": float(correct(target, probabilities).mean())}
    for name, (numerators, denominators) in ratios(target, probabilities).items():
        values[name] = mean_ratio(numerators, denominators)
    if target.task == "multilabel":
        values["samples_f1"] = float(item_scores(target, probabilities).mean())
        values["map"] = mean_average_precision(target.y.astype(bool), probabilities)
    values["auc"] = macro_auc(*ranked(target, probabilities))[0]
    values |= {name: float(losses.mean()) for name, losses in item_losses(target, probabilities).items()}
    values["ece"] = float(np.abs(calibration_gaps(target, probabilities).mean(axis=0)).sum())
    return values


def check(target: Target, probabilities: Floats) -> None:
    """Refuse what cannot be scored.

    Raises:
        DataError: no items, another shape than (n, C), or a value that is not finite.
    """
    expected = (len(target), target.n_outputs)
    if len(target) == 0:
        raise DataError("got no items to score, expected at least one; give labelled items")
    if probabilities.shape != expected:
        raise DataError(f"got predictions of shape {probabilities.shape}, expected {expected}: one row an item")
    if not np.isfinite(probabilities).all():
        raise DataError("got predictions that are not finite, expected numbers; look for NaN in the items' features")


def predicted(target: Target, probabilities: Floats) -> NDArray[np.int64]:
    """(n,) the likeliest class; multilabel: (n, C) 1 where a label's probability is at least one half."""
    if target.task == "multilabel":
        return (probabilities >= 0.5).astype(np.int64)
    likeliest: NDArray[np.int64] = probabilities.argmax(axis=1)
    return likeliest


def correct(target: Target, probabilities: Floats) -> NDArray[np.bool_]:
    """(n,) True where the class, or the whole set of labels, is right."""
    right: NDArray[np.bool_] = predicted(target, probabilities) == target.y
    return np.all(right, axis=1) if target.task == "multilabel" else right


def class_weights(target: Target) -> Floats:
    """(n,) float64 of mean 1 with which each of the C classes that occur counts the same: n / (C n_c) for class c."""
    codes = target.y.astype(np.int64)
    counts = np.bincount(codes, minlength=target.n_outputs)
    weights: Floats = (len(target) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[codes]
    return weights


def item_scores(target: Target, probabilities: Floats, *, balanced: bool = False) -> Floats:
    """(n,) float64 whose mean is the primary metric: the score of each item by itself.

    Exclusive: 1 right, 0 wrong. Multilabel: the F1 of the item's labels. Regression: 1 - squared error / variance of
    the n targets, so that the mean is R2 (where the targets are constant: minus the squared error).

    Args:
        balanced: exclusive: times `class_weights`, so that the mean is the balanced accuracy.

    Raises:
        DataError: as `score`.
    """
    check(target, probabilities)
    if target.exclusive:
        right = correct(target, probabilities).astype(np.float64)
        return right * class_weights(target) if balanced else right
    if target.task == "regression":
        squared = item_losses(target, probabilities)["squared"]
        variance = spread(target)
        return 1.0 - squared / variance if variance > 0 else -squared
    guess, truth = predicted(target, probabilities), target.y.astype(np.int64)
    both, size = (guess & truth).sum(axis=1), (guess + truth).sum(axis=1)
    return np.where(size == 0, 1.0, 2.0 * both / np.maximum(size, 1))


def spread(target: Target) -> float:
    """The variance of the numbers, exactly 0 where they are all the same."""
    y = target.y.astype(np.float64)
    return float(y.var()) if np.ptp(y) > 0 else 0.0


def item_losses(target: Target, probabilities: Floats) -> dict[str, Floats]:
    """(n,) losses of each item whose means are metrics: log_loss and brier; regression: mae and squared."""
    if target.task == "regression":
        residual = target.y.astype(np.float64) - probabilities[:, 0]
        return {"mae": np.abs(residual), "squared": residual**2}
    if target.exclusive:
        true_class = np.take_along_axis(probabilities, target.y.astype(np.int64)[:, None], axis=1)[:, 0]
        # sum_c (p_c - [c = y])^2 = sum_c p_c^2 - 2 p_y + 1
        brier = (probabilities**2).sum(axis=1) - 2.0 * true_class + 1.0
        if target.task == "binary":
            brier = (target.y.astype(np.float64) - probabilities[:, 1]) ** 2
        return {"log_loss": -np.log(clipped(true_class)), "brier": brier}
    truth = target.encoded()
    likelihood = clipped(np.where(truth == 1.0, probabilities, 1.0 - probabilities))
    return {"log_loss": -np.log(likelihood).mean(axis=1), "brier": ((truth - probabilities) ** 2).mean(axis=1)}


def clipped(probabilities: Floats) -> Floats:
    """What has a logarithm: at least 2.2e-16, float64's epsilon, and at most 1."""
    return np.clip(probabilities, _SMALLEST, 1.0)


def ratios(target: Target, probabilities: Floats) -> dict[str, tuple[Counts, Counts]]:
    """The metrics that are means over classes of sums' ratios: (n, C) numerators and denominators of each item.

    Recall of class c: right / true; F1 of class c: 2 right / (predicted + true). Micro F1: one ratio (n, 1)
    of the sums over labels.
    """
    if target.exclusive:
        identity = np.eye(target.n_outputs, dtype=np.int8)
        truth, guess = identity[target.y.astype(np.int64)], identity[predicted(target, probabilities)]
        return {"balanced_accuracy": (truth * guess, truth), "macro_f1": (2 * truth * guess, truth + guess)}
    truth, guess = target.y.astype(np.int8), predicted(target, probabilities).astype(np.int8)
    return {
        "micro_f1": (
            2 * (truth * guess).sum(axis=1, keepdims=True, dtype=np.int64),
            (truth + guess).sum(axis=1, keepdims=True, dtype=np.int64),
        ),
        "macro_f1": (2 * truth * guess, truth + guess),
    }


def ranked(target: Target, probabilities: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """What AUC ranks: (n, C) truth and scores; binary: (n, 1), the second class."""
    truth = target.encoded() == 1.0
    return (truth[:, 1:], probabilities[:, 1:]) if target.task == "binary" else (truth, probabilities)


def calibration_gaps(target: Target, probabilities: Floats) -> Floats:
    """(n, BINS) float64, each item's claimed minus observed frequency in the bin it falls in.

    The expected calibration error is the sum over bins of the absolute column means.
    """
    if target.exclusive:
        claimed = probabilities.max(axis=1, keepdims=True)  # (n, 1)
        observed = correct(target, probabilities)[:, None].astype(np.float64)
    else:
        claimed, observed = probabilities, target.encoded()  # (n, C)
    ordered = np.sort(claimed, axis=None)
    edges = ordered[(np.arange(1, BINS) * len(ordered)) // BINS]
    bins = np.searchsorted(edges, claimed, "right")  # equal values fall on one side of an edge
    cells = bins + BINS * np.arange(len(claimed))[:, None]
    shares = (claimed - observed).ravel() / claimed.shape[1]
    gaps = np.bincount(cells.ravel(), shares, minlength=len(claimed) * BINS).astype(np.float64)
    return gaps.reshape(len(claimed), BINS)


def confusion(target: Target, probabilities: Floats) -> NDArray[np.int64]:
    """(C, C) int64 counts: row the true class, column the predicted one.

    Raises:
        DataError: the classes are not exclusive; or as `score`.
    """
    check(target, probabilities)
    if not target.exclusive:
        raise DataError(f"got a {target.task} target, expected exclusive classes: it has no confusion matrix")
    classes = target.n_outputs
    cells = target.y.astype(np.int64) * classes + predicted(target, probabilities)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def mean_ratio(numerators: Counts, denominators: Counts) -> float:
    """The mean over the classes whose denominators are not all zero, as of `ratios`; nan where there is none."""
    top, bottom = numerators.sum(axis=0, dtype=np.float64), denominators.sum(axis=0, dtype=np.float64)
    defined = bottom > 0
    return float((top[defined] / bottom[defined]).mean()) if defined.any() else float("nan")


def _regression(target: Target, predictions: Floats) -> dict[str, float]:
    losses = item_losses(target, predictions)
    squared = float(losses["squared"].mean())
    variance = spread(target)
    return {
        "r2": 1.0 - squared / variance if variance > 0 else float("nan"),
        "mae": float(losses["mae"].mean()),
        "rmse": squared**0.5,
    }
