"""What of a recogniser moves: the protocol of the ways to move it, `Lora`, `LoraAll`, `LastStages` and `Full`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.speech.checkpoint import Weights
from headstart.speech.torch_decoder import TorchDecoder


class Moves(Protocol):
    """A way to move a recogniser; a frozen dataclass, whose fields tell trainings apart.

    Attributes:
        name: in reports and for --strategy.
        encoder: whether it moves too: the decoder is then a `TorchRecogniser`, and is given spectrograms.
    """

    name: ClassVar[str]
    encoder: ClassVar[bool]

    def begin(self, decoder: TorchDecoder) -> None:
        """Give a frozen decoder the parameters that train; what it says stays the same."""

    def deltas(self, source: Weights, ends: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """CTranslate2's name of each weight that moved -> by how much, float32.

        Args:
            source: the weights that the decoder started from.
            ends: the parameters that train, by their names in the decoder.
        """

    def scaled(self, decoder: TorchDecoder, source: Weights, blend: float) -> AbstractContextManager[Any]:
        """Inside, the decoder is `blend` of the way from the source to where it is."""
