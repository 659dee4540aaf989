"""LoRA on a recogniser: W + B A in every linear map but those onto keys and values of the encoder's states.

Hu et al. 2021 (arXiv 2106.09685).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.optional import require
from headstart.speech.checkpoint import Weights
from headstart.speech.torch_decoder import TorchDecoder, torch_name

_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"  # as peft names them
_LEFT_OUT = "attention.linear_1"  # of the encoder's keys and values; that of self-attention has a longer name


@dataclass(frozen=True)
class Lora:
    """Products of `rank` beside the decoder's linear maps."""

    name: ClassVar[str] = "lora"
    encoder: ClassVar[bool] = False
    rank: int = 16

    def begin(self, decoder: TorchDecoder) -> None:
        """B is zero at first, and alpha / rank is 1."""
        peft = require("peft", "torch", "LoRA")
        names = [
            name for name, module in decoder.named_modules()
            if isinstance(module, torch.nn.Linear) and not name.endswith(f".{_LEFT_OUT}")
        ]  # fmt: skip
        peft.inject_adapter_in_model(
            peft.LoraConfig(r=self.rank, lora_alpha=self.rank, lora_dropout=0.0, target_modules=names), decoder
        )

    def deltas(self, source: Weights, ends: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """B A, of A (rank, inputs) and B (outputs, rank) of every map; of the source only the names play a part."""
        maps = {name: torch_name(name).removesuffix(".weight") for name in source}
        return {name: ends[own + _B] @ ends[own + _A] for name, own in maps.items() if own + _A in ends}

    @contextmanager
    def scaled(self, decoder: TorchDecoder, source: Weights, blend: float) -> Iterator[None]:
        """Inside, the products count `blend` times; the source plays no part."""
        layers = [module for module in decoder.modules() if hasattr(module, "get_delta_weight")]  # peft's
        for layer in layers:
            layer.scaling["default"] = blend
        try:
            yield
        finally:
            for layer in layers:
                layer.scaling["default"] = 1.0


@dataclass(frozen=True)
class LoraAll(Lora):
    """The same beside the linear maps of the encoder too; its convolutions stay."""

    name: ClassVar[str] = "lora-all"
    encoder: ClassVar[bool] = True
