"""Whisper's decoder in torch, from CTranslate2's weights, reading encoder states of any length. For training only.

The decoders of libraries read 1,500 encoder positions, padding and all; here a batch holds clips of their own lengths,
and a mask. Pre-norm layers: self-attention, attention to the encoder, feed-forward (Radford et al. 2022, 2212.04356).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from headstart.speech.checkpoint import Checkpoint
from headstart.speech.dimensions import Dimensions

_ENDS = {"gamma": "weight", "beta": "bias", "encodings": "weight"}


class TorchDecoder(nn.Module):  # type: ignore[misc]
    """The decoder of a checkpoint, in float32; all of it frozen.

    Attributes:
        sides: what the names of its weights begin with.
        shape: the recogniser's sizes.
    """

    sides: ClassVar[tuple[str, ...]] = ("decoder/",)

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.shape = checkpoint.dimensions
        with torch.device("meta"):  # no memory for weights that are replaced at once
            self.build()
        own = ((name, array) for name, array in checkpoint.weights.items() if name.startswith(self.sides))
        self.put({name: torch.from_numpy(np.array(array, np.float32)) for name, array in own})
        self.requires_grad_(False)

    def build(self) -> None:
        """Make the parts, whatever their weights."""
        self.embeddings = nn.Embedding(self.shape.vocabulary, self.shape.width)
        self.position_encodings = nn.Embedding(self.shape.text_positions, self.shape.width)
        self.layers = nn.ModuleList(Layer(self.shape) for _ in range(self.shape.decoder_layers))
        self.layer_norm = nn.LayerNorm(self.shape.width)

    def forward(self, tokens: Tensor, states: Tensor, counts: Tensor) -> Tensor:
        """(b, t, width) hidden states; `logits` are for those positions that are wanted.

        Args:
            tokens: (b, t) int64; what follows a text's end may be anything.
            states: (b, p, width) float32, the encoder's output, padded.
            counts: (b, p), how many positions each state stands for; 0 where it is padding.
        """
        hidden = self.embeddings(tokens) + self.position_encodings.weight[: tokens.shape[1]]
        mask = counts.log()[:, None, None, :]  # (b, 1, 1, p), added to the scores
        for layer in self.layers:
            hidden = layer(hidden, states, mask)
        normed: Tensor = self.layer_norm(hidden)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., vocabulary) of hidden states (..., width)."""
        return F.linear(hidden, self.embeddings.weight)

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights under CTranslate2's names, not copies; those of other sides among them are passed over.

        Raises:
            RuntimeError: a weight is missing or has another shape.
        """
        own = {torch_name(name): value for name, value in weights.items() if name.startswith(self.sides)}
        self.load_state_dict(own, assign=True)

    def held(self, states: int) -> int:
        """Bytes, about, that a gradient keeps of a clip with so many states: their keys and values, in float32."""
        return 4 * 2 * self.shape.decoder_layers * self.shape.width * states


class Layer(nn.Module):  # type: ignore[misc]
    """One layer of the decoder; q, k, v are stacked in linear maps as CTranslate2 stacks them."""

    def __init__(self, shape: Dimensions) -> None:
        super().__init__()
        self.self_attention = Attention(shape, (3, 1))
        self.attention = Attention(shape, (1, 2, 1))
        self.ffn = FeedForward(shape)

    def forward(self, hidden: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """(b, t, width) of hidden states (b, t, width)."""
        own, cross = self.self_attention, self.attention
        q, k, v = own.linear_0(own.layer_norm(hidden)).chunk(3, dim=-1)
        hidden = hidden + own.linear_1(own.attend(q, k, v, causal=True))
        q = cross.linear_0(cross.layer_norm(hidden))
        k, v = cross.linear_1(states).chunk(2, dim=-1)
        hidden = hidden + cross.linear_2(cross.attend(q, k, v, mask))
        fed: Tensor = self.ffn(hidden)
        return hidden + fed


class Attention(nn.Module):  # type: ignore[misc]
    """A norm, and linear_0, linear_1, ...: maps onto so many times the width."""

    def __init__(self, shape: Dimensions, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.heads = shape.heads
        self.layer_norm = nn.LayerNorm(shape.width)
        for k, times in enumerate(outputs):
            self.add_module(f"linear_{k}", nn.Linear(shape.width, times * shape.width))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """(b, t, width) from q (b, t, width) and k, v (b, s, width).

        Args:
            mask: (b, 1, 1, s), added to the scores.
            causal: each position sees those before it; there is no mask.
        """
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))  # (b, heads, ., width / heads)
        added = None if mask is None else mask.to(q.dtype)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=added, is_causal=causal)
        return seen.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):  # type: ignore[misc]
    """A norm, and two maps with the exact GELU between them."""

    def __init__(self, shape: Dimensions) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(shape.width)
        self.linear_0 = nn.Linear(shape.width, shape.inner)
        self.linear_1 = nn.Linear(shape.inner, shape.width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(b, t, width) of (b, t, width)."""
        out: Tensor = self.linear_1(F.gelu(self.linear_0(self.layer_norm(hidden))))
        return out


def torch_name(name: str) -> str:
    """CTranslate2's name of a weight as torch has it: decoder/layer_0/ffn/... -> layers.0.ffn....

    Those of the encoder are under `encoder`: encoder/layer_0/... -> encoder.layers.0....
    """
    dotted = re.sub(r"\blayer_(?=[0-9])", "layers.", name.removeprefix("decoder/").replace("/", "."))
    inner, _, end = dotted.rpartition(".")
    return f"{inner}.{_ENDS.get(end, end)}"
