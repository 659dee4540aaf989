"""Scores to probabilities that mean what they say, fitted on out-of-sample (leave-one-out) scores.

Exclusive classes: temperature scaling (Guo et al. 2017), p = softmax(slope * scores), slope = 1 / temperature.
Many labels: Platt scaling (Platt 1999), p = sigmoid(slope * score + offset), one pair for all labels, because a rare
label has too few positives for its own. Regression: the scores are the predictions; the residuals' spread is kept.

One item's worth of doubt keeps probabilities from 0 and 1. n successes in n trials allow (n + 1) / (n + 2) (Laplace's
rule of succession): the fit's targets are smoothed to it, so that separable scores have a finite slope, and no
probability is above it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError, DataError
from headstart.tasks import TASKS, Target, Task

Floats = NDArray[np.float64]

_STEPS = 100
_RANGE = 1e6  # the slope is sought within this factor of one over the scores' scale


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities.

    Attributes:
        task: the kind of task.
        slope: what scores are multiplied with: one over the temperature.
        offset: multilabel: added after the slope.
        floor: exclusive: the lowest score below an item's highest that was seen; lower ones count as this.
            multilabel: the lowest score that was seen.
        ceiling: multilabel: the highest score that was seen.
        doubt: the least distance of a probability from 1 (and, multilabel, from 0): 1 / (n + 2).
        residual: regression: root mean square of the out-of-sample residuals, in the target's unit.
    """

    task: Task
    slope: float = 1.0
    offset: float = 0.0
    floor: float = 0.0
    ceiling: float = 0.0
    doubt: float = 0.0
    residual: float = 0.0

    @classmethod
    def fit(cls, task: Task, scores: Floats, target: Target, weights: Floats | None = None) -> Calibration:
        """Fit on scores of items that the scorer did not see.

        Args:
            task: the kind of task.
            scores: (n, C) float64; infinite ones are allowed except for regression, NaN is not.
            target: the n true labels.
            weights: (n,) non-negative weights of the items, None for equal.

        Raises:
            DataError: no items, another shape, NaN, or weights that are all zero.
        """
        _check(scores, target)
        weights = np.ones(len(target)) if weights is None else np.asarray(weights, np.float64)
        if weights.shape != (len(target),) or not (weights >= 0).all() or not 0 < weights.sum() < math.inf:
            raise DataError(f"got unusable weights, expected {len(target)} non-negative numbers that are not all zero")
        weights = weights * (len(target) / weights.sum())
        if task == "regression":
            squared = (target.y.astype(np.float64) - scores[:, 0]) ** 2
            return cls(task, residual=math.sqrt(float(np.average(squared, weights=weights))))
        return _fit_labels(scores, target, weights) if task == "multilabel" else _fit_classes(scores, target, weights)

    def probabilities(self, scores: Floats) -> Floats:
        """(m, C) float64 from scores (m, C): rows sum to 1 for exclusive classes; regression: the scores.

        The order of a row's scores is kept, but for what lies outside the range that was seen.
        """
        if self.task == "regression":
            return scores.astype(np.float64)
        if self.task == "multilabel":
            logits = self.slope * np.clip(scores, self.floor, self.ceiling) + self.offset
            return np.clip(_sigmoid(logits), self.doubt, 1.0 - self.doubt)
        classes = scores.shape[1]
        share = min(
            1.0, self.doubt * classes / (classes - 1)
        )  # of the uniform distribution, so that the top is 1 - doubt
        certain: Floats = _softmax(self.slope * _below_top(scores, self.floor))
        certain *= 1.0 - share
        certain += share / classes
        return certain

    def state(self) -> dict[str, Any]:
        """JSON: the task and floats, all finite."""
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Calibration:
        """The calibration from its state.

        Raises:
            ArtefactError: a field is missing, unknown, or not a finite number.
        """
        names = {field.name for field in fields(cls)}
        if set(state) != names or state["task"] not in TASKS:
            raise ArtefactError(
                f"got calibration fields {sorted(state)}, expected {sorted(names)}; save the model again"
            )
        numbers = {name: state[name] for name in names - {"task"}}
        for name, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
                raise ArtefactError(f"got {name} = {number!r} in the calibration, expected a finite number")
        return cls(state["task"], **{name: float(number) for name, number in numbers.items()})


def _check(scores: Floats, target: Target) -> None:
    expected = (len(target), target.n_outputs)
    if len(target) == 0 or scores.shape != expected:
        raise DataError(f"got scores of shape {scores.shape}, expected {expected} with at least one row")
    usable = np.isfinite(scores) if target.task == "regression" else ~np.isnan(scores)
    if not usable.all():
        raise DataError("got scores that are not numbers, expected none; look for NaN in the items' features")


def _fit_classes(scores: Floats, target: Target, weights: Floats) -> Calibration:
    """The slope of least cross-entropy: sum_i w_i [logsumexp(slope z_i) - slope q_i z_i], convex in the slope.

    q are the smoothed targets. The derivative, sum_i w_i (E_p z_i - q_i z_i), grows with the slope; its root is found
    by bisection on a logarithmic scale, which needs no starting point and cannot leave its bounds.
    """
    n, classes = scores.shape
    if classes < 2:
        raise DataError(f"got {classes} class to calibrate, expected at least two")
    doubt = 1.0 / (n + 2)
    z = _below_top(scores, -math.inf)
    finite = z[np.isfinite(z)]
    floor = float(finite.min()) if finite.min() < 0 else -1.0
    z = np.maximum(z, floor)
    q = np.where(target.encoded() == 1.0, 1.0 - doubt, doubt / (classes - 1))
    aim = float(weights @ (q * z).sum(axis=1))
    scale = math.sqrt(float((z**2).mean())) or 1.0
    low, high = 1.0 / (_RANGE * scale), _RANGE / scale
    for _ in range(_STEPS):
        slope = math.sqrt(low * high)
        if high / low < 1.0 + 1e-9:
            break
        expected = float(weights @ (_softmax(slope * z) * z).sum(axis=1))
        low, high = (slope, high) if expected < aim else (low, slope)
    return Calibration(target.task, slope=slope, floor=floor, doubt=doubt)


def _fit_labels(scores: Floats, target: Target, weights: Floats) -> Calibration:
    """Platt's fit pooled over labels: Newton steps with halving (Lin, Lin & Weng 2007) on standardised scores."""
    finite = scores[np.isfinite(scores)]
    floor, ceiling = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
    if floor == ceiling:
        floor, ceiling = floor - 1.0, ceiling + 1.0  # an infinite score still differs from a finite one
    clipped = np.clip(scores, floor, ceiling)
    middle, scale = float(clipped.mean()), float(clipped.std()) or 1.0
    x = ((clipped - middle) / scale).ravel()
    truth = target.encoded().ravel()
    w = np.repeat(weights, scores.shape[1])
    positives = float(w @ truth)
    q = np.where(truth == 1.0, (positives + 1) / (positives + 2), 1.0 / (w.sum() - positives + 2))
    slope, offset = _newton(x, q, w)
    return Calibration(
        target.task,
        slope=slope / scale,
        offset=offset - slope * middle / scale,
        floor=floor,
        ceiling=ceiling,
        doubt=1.0 / (len(target) + 2),
    )


def _newton(x: Floats, q: Floats, w: Floats) -> tuple[float, float]:
    """The slope (not negative) and offset of least weighted cross-entropy of sigmoid(slope x + offset) against q."""
    design = np.column_stack([x, np.ones_like(x)])
    at = np.array([0.0, 0.0])

    def loss(at: Floats) -> float:
        logits = design @ at
        return float(w @ (np.logaddexp(0.0, logits) - q * logits))

    for _ in range(_STEPS):
        p = _sigmoid(design @ at)
        gradient = design.T @ (w * (p - q))
        curvature = (design * (w * p * (1 - p))[:, None]).T @ design + 1e-10 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        before, size = loss(at), 1.0
        while loss(at - size * step) > before and size > 1e-10:
            size /= 2
        at = at - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    if at[0] >= 1e-6:
        return float(at[0]), float(at[1])
    # Scores that order the labels no better than chance: the base rate, and just enough slope to keep the order.
    rate = float(np.average(q, weights=w))
    return 1e-6, math.log(rate / (1 - rate))


def _below_top(scores: Floats, floor: float) -> Floats:
    """Scores less their row's highest, at least `floor`; safe for infinite ones (a row of -inf: all zero)."""
    top = scores.max(axis=1, keepdims=True)
    below = np.where(scores == top, 0.0, -math.inf)
    np.subtract(scores, top, out=below, where=np.isfinite(top) & np.isfinite(scores))
    return np.maximum(below, floor)


def _softmax(logits: Floats) -> Floats:
    """Softmax of rows whose highest entry is 0."""
    powers: Floats = np.exp(logits)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _sigmoid(logits: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(logits), np.float64)
