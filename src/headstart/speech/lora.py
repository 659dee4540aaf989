"""LoRA on a recogniser's decoder: W + B A in every linear map but that of the encoder's keys and values.

Hu et al. 2021 (arXiv 2106.09685).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.optional import require
from headstart.speech.torch_decoder import TorchDecoder

_LEFT_OUT = "attention.linear_1"  # of the encoder's keys and values; that of self-attention has a longer name


def add_lora(decoder: TorchDecoder, rank: int) -> None:
    """Products of `rank` beside the decoder's linear maps; B is zero at first, and alpha / rank is 1."""
    peft = require("peft", "torch", "LoRA")
    names = [
        name for name, module in decoder.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith(f".{_LEFT_OUT}")
    ]  # fmt: skip
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=names), decoder
    )


def _layers(decoder: TorchDecoder) -> dict[str, Any]:
    """Name of the map -> peft's layer around it."""
    return {name: module for name, module in decoder.named_modules() if hasattr(module, "get_delta_weight")}


def deltas(decoder: TorchDecoder) -> dict[str, NDArray[np.float32]]:
    """CTranslate2's name of each weight that moved -> B A, float32."""
    return {
        f"decoder/layer_{name.removeprefix('layers.').replace('.', '/')}/weight": np.asarray(
            layer.get_delta_weight("default").detach().float().cpu().numpy(), np.float32
        )
        for name, layer in _layers(decoder).items()
    }


@contextmanager
def scaled(decoder: TorchDecoder, blend: float) -> Iterator[None]:
    """Inside, the products count `blend` times."""
    layers = list(_layers(decoder).values())
    for layer in layers:
        layer.scaling["default"] = blend
    try:
        yield
    finally:
        for layer in layers:
            layer.scaling["default"] = 1.0
