"""The head that fine-tuning starts from: the probe's closed form, scaled to logits.

Kumar et al., 2022 (arXiv 2202.10054): fine-tuning from a random head first distorts the features to fit it; from the
probe's head it need not (LP-FT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Job, Rows
from headstart.evidence.calibration import Calibration
from headstart.heads.ridge import Ridge
from headstart.sources.base import Tap

_FLAT = 1e-3  # a feature's spread counts as at least this share of the largest


@dataclass(frozen=True, eq=False)
class InitialHead:
    """logits = (features - center) / scale @ weight.T + bias, features those of some taps side by side.

    On standardised features one learning rate suits all of them, means and maxima alike.

    Attributes:
        weight: (C, d) float32.
        bias: (C,) float32. Regression: weight and bias give the prediction itself.
        center, scale: (d,) float32, mean and spread of the training items' frozen features.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def zero(cls, job: Job, taps: Sequence[Tap], train: Rows | None = None) -> InitialHead:
        """A head that knows nothing but, where training rows are given, what their frozen features are like."""
        outputs, d = job.target.n_outputs, sum(tap.width for tap in taps)
        empty, zero = np.zeros((outputs, d), np.float32), np.zeros(outputs, np.float32)
        if train is None:
            return cls(empty, zero, np.zeros(d, np.float32), np.ones(d, np.float32))
        center, spread = _moments(job.features.select(taps, train))
        return cls(empty, zero, center.astype(np.float32), spread.astype(np.float32))

    @property
    def raw(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight and bias for features as they come."""
        weight = self.weight.astype(np.float64) / self.scale
        return weight.astype(np.float32), (self.bias - weight @ self.center).astype(np.float32)


def initial_head(job: Job, taps: Sequence[Tap], train: Rows) -> InitialHead:
    """The probe on the frozen features of `taps` for the training rows."""
    features = job.features.select(taps, train)
    raw, bias = probe(job, features, train)
    center, spread = _moments(features)
    return InitialHead(*(x.astype(np.float32) for x in (raw * spread, bias + raw @ center, center, spread)))


def probe(job: Job, features: NDArray[Any], train: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge on the training rows' features (n, d): weight (C, d) and bias (C,) of logits, or of predictions.

    Its scores become logits by the temperature and offsets (or Platt's slope and offset) fitted on its exact
    leave-one-out scores.

    Raises:
        DataError: fewer than two training items of positive weight, or features that are not finite.
    """
    target = job.target.take(train)
    weights = None if job.weights is None else job.weights[train]
    fitted = Ridge().fit(features, target, weights=weights, seed=job.seed)
    slope, offset = 1.0, np.zeros(1)
    if target.task != "regression":
        assert fitted.loo_scores is not None
        calibration = Calibration.fit(target.task, fitted.loo_scores, target, weights)
        slope, offset = calibration.slope, np.array(calibration.offsets or [calibration.offset])
    return slope * fitted.map.weight.T.astype(np.float64), slope * fitted.map.bias + offset


def _moments(features: NDArray[np.float16]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread of each column; no spread is far below the largest, so that nothing constant is blown up."""
    center = features.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(np.maximum(np.square(features, dtype=np.float64).mean(axis=0) - center**2, 0.0))
    return center, np.maximum(spread, max(_FLAT * float(spread.max()), 1e-6))
