"""Scores to probabilities that mean what they say, fitted on out-of-sample (leave-one-out) scores.

Exclusive classes: temperature scaling with a bias a class (Guo et al. 2017; Alexandari, Kundaje & Shrikumar 2020),
p = softmax(slope * scores + offsets), slope = 1 / temperature. Scores of a regression on 0 and 1 are far from log odds
where classes are rare, and no temperature mends that. A Gaussian prior keeps the offsets near 0 where the items do not
ask for them; they are rounded, so that what the optimiser leaves of a zero does not decide where scores say nothing.
Many labels: Platt scaling (Platt 1999), p = sigmoid(slope * score + offset), one pair for all labels, because a rare
label has too few positives for its own. Regression: the scores are the predictions; the residuals' spread is kept.

One item's worth of doubt keeps probabilities from 0 and 1. n successes in n trials allow (n + 1) / (n + 2) (Laplace's
rule of succession): the fit's targets are smoothed to it, so that separable scores have a finite slope, and no
probability is above it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError, DataError
from headstart.tasks import TASKS, Target, Task

Floats = NDArray[np.float64]

_STEPS = 100
_PRIOR = 1.0  # one over the variance of a class's offset, in log odds
_DIGITS = 3  # of offsets, in log odds
_RANGE = 1e6  # the slope is sought within this factor of one over the scores' scale


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities.

    Attributes:
        task: the kind of task.
        slope: what scores are multiplied with: one over the temperature.
        offset: multilabel: added after the slope.
        offsets: exclusive: of each class, added after the slope; none (of files of the first days) for zeros.
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
    offsets: tuple[float, ...] = ()

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

        The order of scores (exclusive: of one class) is kept, but for what lies outside the range that was seen.
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
        logits = self.slope * _below_top(scores, self.floor) + np.asarray(self.offsets or 0.0)
        certain: Floats = _softmax(logits - logits.max(axis=1, keepdims=True))
        certain *= 1.0 - share
        certain += share / classes
        return certain

    def state(self) -> dict[str, Any]:
        """JSON: the task and numbers, all finite."""
        return asdict(self) | {"offsets": list(self.offsets)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Calibration:
        """The calibration from its state.

        Raises:
            ArtefactError: a field is missing, unknown, or not a finite number.
        """
        state = {"offsets": [], **state}
        names = {field.name for field in fields(cls)}
        if set(state) != names or state["task"] not in TASKS or not isinstance(state["offsets"], (list, tuple)):
            raise ArtefactError(
                f"got calibration fields {sorted(state)}, expected {sorted(names)}; save the model again"
            )
        numbers = {name: _finite(name, state[name]) for name in names - {"task", "offsets"}}
        offsets = tuple(_finite("an offset", number) for number in state["offsets"])
        if numbers["slope"] < 0 or not 0 <= numbers["doubt"] <= 0.5:
            raise ArtefactError("the calibration has a slope below 0 or a doubt not from 0 to one half: damaged file")
        return cls(state["task"], **numbers, offsets=offsets)


def _finite(name: str, number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= sys.float_info.max:
        raise ArtefactError(f"got {name} = {str(number)[:40]} in the calibration, expected a finite number")
    return float(number)


def _check(scores: Floats, target: Target) -> None:
    expected = (len(target), target.n_outputs)
    if len(target) == 0 or scores.shape != expected:
        raise DataError(f"got scores of shape {scores.shape}, expected {expected} with at least one row")
    usable = np.isfinite(scores) if target.task == "regression" else ~np.isnan(scores)
    if not usable.all():
        raise DataError("got scores that are not numbers, expected none; look for NaN in the items' features")


def _fit_classes(scores: Floats, target: Target, weights: Floats) -> Calibration:
    """Slope a and offsets b of least cross-entropy, convex in both:

        sum_i w_i [logsumexp(a z_i + b) - q_i (a z_i + b)] + _PRIOR |b|^2 / 2

    z are the scores below each item's highest at unit size, q the smoothed targets. The prior's pull on b sums to
    zero, so that the offsets do.
    """
    from scipy.optimize import minimize

    n, classes = scores.shape
    if classes < 2:
        raise DataError(f"got {classes} class to calibrate, expected at least two")
    doubt = 1.0 / (n + 2)
    z = _below_top(scores, -math.inf)
    finite = z[np.isfinite(z)]
    floor = float(finite.min()) if finite.min() < 0 else -1.0
    z = np.maximum(z, floor)
    scale = math.sqrt(float((z**2).mean())) or 1.0
    z /= scale
    q = np.where(target.encoded() == 1.0, 1.0 - doubt, doubt / (classes - 1))

    def loss(at: Any) -> tuple[float, Any]:
        logits = at[0] * z + at[1:]  # (n, C)
        logits -= logits.max(axis=1, keepdims=True)
        p = _softmax(logits)
        beyond = p - q
        gradient = np.concatenate([[weights @ (beyond * z).sum(axis=1)], weights @ beyond + _PRIOR * at[1:]])
        # logsumexp(l) = l_c - log p_c of any class, above all of the highest, whose l is 0.
        value = -float(weights @ (np.log(p.max(axis=1)) + (q * logits).sum(axis=1)))
        value += 0.5 * _PRIOR * float(at[1:] @ at[1:])
        return value / n, gradient / n

    start = np.concatenate([[1.0], np.zeros(classes)])
    bounds: Any = [(1.0 / _RANGE, _RANGE)] + [(None, None)] * classes
    options: Any = {"maxiter": _STEPS, "ftol": 1e-12, "gtol": 1e-8}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    offsets = tuple(round(float(offset), _DIGITS) + 0.0 for offset in found[1:])
    return Calibration(target.task, slope=float(found[0]) / scale, floor=floor, doubt=doubt, offsets=offsets)


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
