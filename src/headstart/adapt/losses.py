"""What a training minimises: cross-entropy, one logistic loss a label, or squared error; items weighted."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from headstart.tasks import Target


def item_weights(target: Target, weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(n,) float64 of mean 1: the weights of the n training items, which balance classes too; None for equal ones."""
    w = np.ones(len(target)) if weights is None else weights.astype(np.float64)
    total = float(w.sum())
    return w * (len(w) / total) if total > 0 else w


class Objective:
    """The loss of the training items, and what turns logits into a target's scores.

    Attributes:
        center, scale: regression trains on (y - center) / scale; 0 and 1 for classes.
    """

    def __init__(self, target: Target, weights: NDArray[np.float64] | None, smoothing: float) -> None:
        """`target` and `weights` are those of the n training items."""
        self.task = target.task
        self.center, self.scale = 0.0, 1.0
        w = item_weights(target, weights)
        if target.task == "regression":
            y = target.y.astype(np.float64)
            self.center = float(np.average(y, weights=w))
            self.scale = float(np.sqrt(np.average((y - self.center) ** 2, weights=w))) or 1.0
            self._y = torch.from_numpy(((y - self.center) / self.scale).astype(np.float32))[:, None]
        elif target.task == "multilabel":
            self._y = torch.from_numpy(target.encoded().astype(np.float32)) * (1 - smoothing) + smoothing / 2
        else:
            self._y = torch.from_numpy(target.y.astype(np.int64))
        self._w = torch.from_numpy(w.astype(np.float32))
        self._smoothing = smoothing

    def to(self, device: torch.device) -> Objective:
        """Itself, with its labels on a device."""
        self._y, self._w = self._y.to(device), self._w.to(device)
        return self

    def total(self, logits: Tensor, positions: Tensor) -> Tensor:
        """The weighted sum, not the mean, of the losses of some training items; logits (b, C) float32."""
        y = self._y[positions]
        if self.task == "regression":
            each = functional.mse_loss(logits, y, reduction="none").mean(dim=1)
        elif self.task == "multilabel":
            each = functional.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(dim=1)
        else:
            each = functional.cross_entropy(logits, y, reduction="none", label_smoothing=self._smoothing)
        return (each * self._w[positions]).sum()
