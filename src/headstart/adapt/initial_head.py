"""The head that fine-tuning starts from: the probe's closed form, scaled to logits.

Kumar et al., 2022 (arXiv 2202.10054): fine-tuning from a random head first distorts the features to fit it; from the
probe's head it need not (LP-FT).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Job, Rows
from headstart.evidence.calibration import Calibration
from headstart.heads.ridge import Ridge
from headstart.sources.base import Tap


@dataclass(frozen=True, eq=False)
class InitialHead:
    """logits = features @ weight.T + bias.

    Attributes:
        weight: (C, tap.width) float32.
        bias: (C,) float32. Regression: weight and bias give the prediction itself.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def zero(cls, job: Job, tap: Tap) -> InitialHead:
        """A head that knows nothing."""
        outputs = job.target.n_outputs
        return cls(np.zeros((outputs, tap.width), np.float32), np.zeros(outputs, np.float32))


def initial_head(job: Job, tap: Tap, train: Rows) -> InitialHead:
    """Ridge on the frozen features of `tap` for the training rows.

    Its scores become logits by the temperature (or Platt's slope and offset) fitted on its exact leave-one-out scores.

    Raises:
        DataError: fewer than two training items of positive weight, or features that are not finite.
    """
    target = job.target.take(train)
    weights = None if job.weights is None else job.weights[train]
    fitted = Ridge().fit(job.features.select([tap], train), target, weights=weights, seed=job.seed)
    slope, offset = 1.0, 0.0
    if target.task != "regression":
        assert fitted.loo_scores is not None
        calibration = Calibration.fit(target.task, fitted.loo_scores, target, weights)
        slope, offset = calibration.slope, calibration.offset
    weight = (slope * fitted.map.weight.T).astype(np.float32)  # (C, d)
    return InitialHead(np.ascontiguousarray(weight), (slope * fitted.map.bias + offset).astype(np.float32))
