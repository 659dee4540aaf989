"""LoRA on a graph's layers, by peft: W + B A, with W frozen (Hu et al., 2021, arXiv 2106.09685)."""

from __future__ import annotations

from torch import nn

from headstart.adapt.graph import GraphModule
from headstart.errors import EngineError
from headstart.optional import require


def add_lora(body: GraphModule, rank: int) -> None:
    """Freeze the graph's weights, and add products of `rank` to its linear maps and dense convolutions, in place.

    Depthwise convolutions get none: their kernels have fewer numbers than the products would.

    Raises:
        MissingLayerError: peft is not installed.
        EngineError: there is no layer to add to.
    """
    peft = require("peft", "torch", "LoRA")
    names = [name for name, module in body.named_children() if _dense(module)]
    if not names:
        raise EngineError("cannot be trained with LoRA: the graph has no linear maps and no dense convolutions")
    body.requires_grad_(False)
    # Products start at zero (B is zero), and are scaled by alpha / rank = 1.
    config = peft.LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=names)
    peft.inject_adapter_in_model(config, body)


def _dense(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups == 1)
