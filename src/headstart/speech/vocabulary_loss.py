"""The cross entropy over a large vocabulary, without the scores of all tokens in memory at once.

100 tokens have 5 million scores over Whisper's 50,000, and torch keeps them several times over until the gradient is
known. Here some tokens at a time are scored, and their gradient is taken at once, as in Hsu et al. 2024, "Liger Kernel"
(arXiv 2410.10989); nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its usual name

_SCORES = 1 << 23  # at a time: 32 MB


def summed_loss(
    hidden: Tensor, labels: Tensor, logits: Callable[[Tensor], Tensor], vocabulary: int, smoothing: float
) -> Tensor:
    """() float32, the sum of the losses of n tokens. The gradient reaches `hidden`, and nothing inside of `logits`.

    Args:
        hidden: (n, width).
        labels: (n,) int64.
        logits: (m, width) -> (m, vocabulary).
        smoothing: of labels.
    """
    given = hidden if torch.is_grad_enabled() else hidden.detach()
    loss: Tensor = _Summed.apply(given, labels, logits, max(1, _SCORES // vocabulary), smoothing)
    return loss


class _Summed(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        context: Any, hidden: Tensor, labels: Tensor, logits: Callable[[Tensor], Tensor], rows: int, smoothing: float
    ) -> Tensor:
        learned = context.needs_input_grad[0]
        total = torch.zeros((), device=hidden.device)
        gradients = []
        for some, wanted in zip(hidden.split(rows), labels.split(rows), strict=True):
            with torch.set_grad_enabled(learned):
                given = some.detach().requires_grad_() if learned else some
                loss = F.cross_entropy(logits(given).float(), wanted, label_smoothing=smoothing, reduction="sum")
            if learned:
                gradients += torch.autograd.grad(loss, given)
            total += loss.detach()
        if learned:
            context.save_for_backward(torch.cat(gradients))
        return total

    @staticmethod
    def backward(context: Any, above: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = context.saved_tensors
        return gradient * above, None, None, None, None
