"""All layers of a recogniser, encoder and decoder; the embeddings and the tables of positions stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headstart.speech.last_stages import LastStages
from headstart.speech.torch_decoder import TorchDecoder


@dataclass(frozen=True)
class Full(LastStages):
    """All layers move, all weights alike."""

    name: ClassVar[str] = "full"
    encoder: ClassVar[bool] = True
    share: float = 1.0

    def begin(self, decoder: TorchDecoder) -> None:
        """From where they are."""
        decoder.get_submodule("encoder").requires_grad_(True)
        decoder.get_submodule("encoder.position_encodings").requires_grad_(False)
        super().begin(decoder)
