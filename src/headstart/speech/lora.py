"""LoRA on a recogniser's decoder: W + B A in every linear map but that of the encoder's keys and values.

Hu et al. 2021 (arXiv 2106.09685).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.optional import require
from headstart.speech.torch_decoder import TorchDecoder

_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"  # as peft names them
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


def deltas(products: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """CTranslate2's name of each weight that moved -> B A, float32.

    Args:
        products: A (rank, inputs) and B (outputs, rank) of every map, under the names of the decoder's parameters.
    """
    return {
        f"decoder/layer_{name.removeprefix('layers.').removesuffix(_A).replace('.', '/')}/weight": (
            products[name.removesuffix(_A) + _B] @ a
        )
        for name, a in products.items()
        if name.endswith(_A)
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
