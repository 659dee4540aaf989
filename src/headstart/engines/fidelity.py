"""Are an engine's features the features? Cosine to the reference, and what a head makes of them. Arrays only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTY = 0.1  # of the ridge, in units of the kernel's mean eigenvalue: the same for every engine


@dataclass(frozen=True)
class Fidelity:
    """How near features are to the reference's.

    Attributes:
        cosine_mean, cosine_min: over the items, of the standardised rows.
        accuracy: leave-one-out accuracy of a ridge head on the probe's labels.
    """

    cosine_mean: float
    cosine_min: float
    accuracy: float


def fidelity(
    features: Sequence[NDArray[np.float32]], reference: Sequence[NDArray[np.float32]], labels: NDArray[np.int64]
) -> Fidelity:
    """Compare the taps of n items with the reference's.

    Args:
        features: one (n, width) array a tap.
        reference: the same from the engine that counts as true.
        labels: (n,) class codes of the probe.
    """
    rows, truth = standardised(features, reference), standardised(reference, reference)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(truth, axis=1)
    cosines = np.einsum("nd,nd->n", rows, truth) / np.maximum(norms, np.finfo(np.float64).tiny)
    return Fidelity(float(cosines.mean()), float(cosines.min()), leave_one_out_accuracy(rows, labels))


def standardised(taps: Sequence[NDArray[np.float32]], reference: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """(n, D) float64: each tap centred by the reference's column means and divided by its one standard deviation.

    One scale a tap, not a column: a column that never varies (a [CLS] token before the first layer) would turn
    rounding into the largest feature.
    """
    blocks = []
    for tap, true in zip(taps, reference, strict=True):
        mean = true.mean(axis=0, dtype=np.float64)
        scale = np.sqrt(np.mean((true - mean) ** 2))
        blocks.append((tap - mean) / (scale if scale > 0 else 1.0))
    return np.concatenate(blocks, axis=1)


def leave_one_out_accuracy(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Accuracy of ridge regression on one-hot labels, each item predicted by the other n - 1.

    The fit is a linear smoother, fitted = H y with H = 1/n + K (K + penalty I)^-1 for the centred kernel K, so the
    prediction for an item left out is y - (y - Hy) / (1 - h), h the diagonal of H (PRESS; Allen 1974).
    """
    n = len(rows)
    centred = rows - rows.mean(axis=0)
    kernel = centred @ centred.T  # (n, n)
    penalty = PENALTY * max(float(np.trace(kernel)) / n, np.finfo(np.float64).tiny)
    hat = np.linalg.solve(kernel + penalty * np.eye(n), kernel).T + 1.0 / n
    y = np.eye(int(labels.max()) + 1)[labels]  # (n, C)
    left_out = y - (y - hat @ y) / (1.0 - np.diag(hat))[:, None]
    return float(np.mean(left_out.argmax(axis=1) == labels))
