"""The supervised contrastive loss: items that share their labels go together, all others apart.

Khosla et al., 2020, arXiv 2004.11362, equation 2. With unit vectors z and a temperature t, anchor i has the loss

    l_i = - sum_j a_ij log p_ij / sum_j a_ij        p_ij = exp(z_i . z_j / t) / sum_{k != i} exp(z_i . z_k / t)

where a_ij is 1 for another item of its class and 0 for the rest. Of items with several labels a_ij is the share of
labels that two have in common, their Jaccard index, which for exclusive classes is the same 0 and 1. An item that
shares labels with no other one is no anchor; the others still keep away from it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def affinity(labels: Tensor) -> Tensor:
    """(n, n) float32 Jaccard indices of label sets, the diagonal 0, from one-hot or multi-hot `labels` (n, C)."""
    y = labels.float()
    common = y @ y.T  # (n, n)
    sizes = y.sum(dim=1)
    union = sizes[:, None] + sizes[None, :] - common
    found = common / union.clamp(min=1.0)
    return found.fill_diagonal_(0.0)


def contrastive_loss(features: Tensor, labels: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """The mean of l_i over anchors; 0 where there are none.

    Args:
        features: (n, d), of any length; directions count.
        labels: (n, C) one-hot or multi-hot.
        weights: (n,) of the anchors; None for equal.
    """
    z = functional.normalize(features.float(), dim=1)
    logits = z @ z.T / temperature  # (n, n)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_p = logits.masked_fill(itself, float("-inf")).log_softmax(dim=1).masked_fill(itself, 0.0)
    shared = affinity(labels)
    total = shared.sum(dim=1)  # (n,)
    each = -(shared * log_p).sum(dim=1) / torch.where(total > 0, total, 1.0)
    w = (total > 0).float() if weights is None else (total > 0) * weights.float()
    return (w * each).sum() / w.sum().clamp(min=torch.finfo(torch.float32).tiny)
