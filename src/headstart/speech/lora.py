"""LoRA on a recogniser's decoder: W + B A in every linear map but that of the encoder's keys and values.

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
from headstart.speech.torch_decoder import TorchDecoder

_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"  # as peft names them
_LEFT_OUT = "attention.linear_1"  # of the encoder's keys and values; that of self-attention has a longer name


@dataclass(frozen=True)
class Lora:
    """Products of `rank` beside the decoder's linear maps."""

    name: ClassVar[str] = "lora"
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
        """B A, of A (rank, inputs) and B (outputs, rank) of every map; the source plays no part."""
        return {
            f"decoder/layer_{name.removeprefix('layers.').removesuffix(_A).replace('.', '/')}/weight": (
                ends[name.removesuffix(_A) + _B] @ a
            )
            for name, a in ends.items()
            if name.endswith(_A)
        }

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
