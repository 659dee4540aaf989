"""The last layers of a recogniser's decoder, and its final norm; the embeddings, which its scores share, stay.

Biases of the maps that give keys stay too. A key's bias has no effect, and so no gradient but rounding, which Adam
would make steps of; a value's comes to a bias of the map that follows, as the weights of attention sum to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.speech.checkpoint import Weights
from headstart.speech.torch_decoder import TorchDecoder, torch_name

_KEYS = ("self_attention.linear_0.bias", ".attention.linear_1.bias")


@dataclass(frozen=True)
class LastStages:
    """The last of the decoder's layers move, all weights alike.

    Attributes:
        share: of the layers, rounded up.
    """

    name: ClassVar[str] = "last-stages"
    encoder: ClassVar[bool] = False
    share: float = 0.5

    def begin(self, decoder: TorchDecoder) -> None:
        """From where they are; no gradient is computed below them."""
        count = len(decoder.layers)
        for module in (*decoder.layers[count - int(np.ceil(self.share * count)) :], decoder.layer_norm):
            module.requires_grad_(True)
        for name, p in decoder.named_parameters():
            if name.endswith(_KEYS):
                p.requires_grad_(False)

    def deltas(self, source: Weights, ends: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Where each ended less where it began."""
        own = _names(source)
        return {own[name]: end - source[own[name]].astype(np.float32) for name, end in ends.items()}

    @contextmanager
    def scaled(self, decoder: TorchDecoder, source: Weights, blend: float) -> Iterator[None]:
        """Inside, w_source + blend (w - w_source); after it the very same w as before."""
        own = _names(source)
        moved = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
        kept: dict[str, Tensor] = {name: p.detach().clone() for name, p in moved.items()}
        try:
            with torch.no_grad():
                for name, p in moved.items():
                    start = torch.from_numpy(source[own[name]].astype(np.float32)).to(p.device)
                    p.copy_(start + blend * (p - start))
            yield
        finally:
            with torch.no_grad():
                for name, p in moved.items():
                    p.copy_(kept[name])


def _names(source: Weights) -> dict[str, str]:
    """torch's name of each weight -> CTranslate2's."""
    return {torch_name(name): name for name in source}
