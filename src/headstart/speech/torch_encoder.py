"""Whisper's encoder in torch, from CTranslate2's weights, before its decoder. For training only.

Two convolutions over the log-mel spectrogram, the second with stride 2, sinusoidal positions, pre-norm layers of
self-attention and feed-forward (Radford et al. 2022, 2212.04356). It hears 30 s, as it was trained to.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from headstart.speech.dimensions import Dimensions
from headstart.speech.torch_decoder import Attention, FeedForward, TorchDecoder


class TorchRecogniser(TorchDecoder):
    """Encoder and decoder of a checkpoint, in float32; all of it frozen.

    Attributes:
        encoder: (b, bands, frames) -> states.
    """

    sides: ClassVar[tuple[str, ...]] = ("decoder/", "encoder/")

    def build(self) -> None:
        super().build()
        self.encoder = TorchEncoder(self.shape)

    def forward(self, tokens: Tensor, states: Tensor, counts: Tensor) -> Tensor:
        """As the decoder's, of spectrograms (b, bands, frames) float32 in place of states."""
        return super().forward(tokens, self.encoder(states), counts)

    def held(self, states: int) -> int:
        """As the decoder's, with what the encoder keeps: inputs of maps and norms, q, k, v, and both sides of GELU."""
        shape = self.shape
        a_layer, before = 9 * shape.width + 2 * shape.inner, 7 * shape.width
        return super().held(states) + 4 * shape.positions * (shape.encoder_layers * a_layer + before)


class TorchEncoder(nn.Module):  # type: ignore[misc]
    """The encoder, without weights of its own yet."""

    def __init__(self, shape: Dimensions) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(shape.bands, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.position_encodings = nn.Embedding(shape.positions, shape.width)
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.encoder_layers))
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, mel: Tensor) -> Tensor:
        """(b, positions, width) states of spectrograms (b, bands, 2 positions)."""
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # (b, positions, width)
        hidden = hidden + self.position_encodings.weight
        for layer in self.layers:
            hidden = layer(hidden)
        normed: Tensor = self.layer_norm(hidden)
        return normed


class EncoderLayer(nn.Module):  # type: ignore[misc]
    """One layer of the encoder: every position sees all."""

    def __init__(self, shape: Dimensions) -> None:
        super().__init__()
        self.self_attention = Attention(shape, (3, 1))
        self.ffn = FeedForward(shape)

    def forward(self, hidden: Tensor) -> Tensor:
        """(b, positions, width) of (b, positions, width)."""
        own = self.self_attention
        q, k, v = own.linear_0(own.layer_norm(hidden)).chunk(3, dim=-1)
        hidden = hidden + own.linear_1(own.attend(q, k, v))
        fed: Tensor = self.ffn(hidden)
        return hidden + fed
