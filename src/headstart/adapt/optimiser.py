"""AdamW with a learning rate for every depth, and its schedule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headstart.adapt.settings import Settings

HEAD = "head."


def rates(depths: Mapping[str, int], settings: Settings) -> dict[str, float]:
    """The peak rate of each parameter of the body: settings.rate at the deepest, times `decay` for each depth above."""
    deepest = max(depths.values(), default=0)
    return {name: settings.rate * settings.decay ** (deepest - depth) for name, depth in depths.items()}


class Optimiser:
    """AdamW over a network's trainable parameters (Loshchilov and Hutter, 2019, arXiv 1711.05101).

    Attributes:
        adam: the torch optimiser; the group's own peak rate is under "peak".
        parameters: name -> parameter, those that train.
    """

    def __init__(self, network: nn.Module, depths: Mapping[str, int], settings: Settings) -> None:
        """`depths` has each parameter of `network.body` by its name there."""
        self.parameters: dict[str, Tensor] = {n: p for n, p in network.named_parameters() if p.requires_grad}
        peaks = rates(depths, settings)
        groups: dict[tuple[float, float], list[Tensor]] = defaultdict(list)
        for name, parameter in self.parameters.items():
            peak = settings.head_rate if name.startswith(HEAD) else peaks[name.removeprefix("body.")]
            groups[peak, settings.weight_decay if parameter.ndim > 1 else 0.0].append(parameter)
        self.adam = _adam([{"params": p, "lr": k[0], "peak": k[0], "weight_decay": k[1]} for k, p in groups.items()])

    def set_rate(self, factor: float) -> None:
        """Every group at `factor` times its peak."""
        for group in self.adam.param_groups:
            group["lr"] = group["peak"] * factor

    def state(self) -> dict[str, Tensor]:
        """Copies of the moments and step counts, under "NAME/exp_avg" and so on; empty before the first step."""
        kept = self.adam.state
        return {
            f"{name}/{key}": value.detach().clone()
            for name, parameter in self.parameters.items()
            for key, value in kept.get(parameter, {}).items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Back to what `state` gave."""
        self.adam.state.clear()
        fused = self.adam.defaults.get("fused")  # counts its steps where the parameter is
        for name, value in state.items():
            owner, _, key = name.rpartition("/")
            parameter = self.parameters[owner]
            self.adam.state[parameter][key] = value.clone().to(parameter.device if value.ndim or fused else "cpu")


def _adam(groups: list[dict[str, Any]]) -> Any:
    """Fused where this torch can: one pass over the parameters instead of a dozen."""
    try:
        return torch.optim.AdamW(groups, fused=True)
    except RuntimeError:
        return torch.optim.AdamW(groups)
