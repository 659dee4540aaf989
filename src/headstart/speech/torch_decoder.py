"""Whisper's decoder in torch, under CTranslate2's names, reading encoder states of any length. For training only.

The decoders of libraries read 1,500 encoder positions, padding and all; here a batch holds clips of their own lengths,
and a mask. Pre-norm layers: self-attention, attention to the encoder, feed-forward (Radford et al. 2022, 2212.04356).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from headstart.speech.checkpoint import Checkpoint
from headstart.speech.dimensions import EMBEDDINGS, Dimensions

_SIDE = "decoder/"


class TorchDecoder(nn.Module):  # type: ignore[misc]
    """The decoder of a checkpoint, in float32; all of it frozen.

    Attributes:
        shape: the recogniser's sizes.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.shape = checkpoint.dimensions
        with torch.device("meta"):  # no memory for weights that are replaced at once
            self.embeddings = nn.Embedding(self.shape.vocabulary, self.shape.width)
            self.position_encodings = nn.Embedding(self.shape.text_positions, self.shape.width)
            self.layers = nn.ModuleList(Layer(self.shape) for _ in range(self.shape.decoder_layers))
            self.layer_norm = nn.LayerNorm(self.shape.width)
        own = ((name, array) for name, array in checkpoint.weights.items() if name.startswith(_SIDE))
        self.put({name: torch.from_numpy(np.array(array, np.float32)) for name, array in own})
        self.requires_grad_(False)

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
        """Take weights under CTranslate2's names, not copies; those of the encoder among them are passed over.

        Raises:
            RuntimeError: a weight of the decoder is missing or has another shape.
        """
        own = {torch_name(name): value for name, value in weights.items() if name.startswith(_SIDE)}
        self.load_state_dict(own, assign=True)


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
        hidden = hidden + own.linear_1(own.attend(q, k, v, None))
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

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """(b, t, width) from q (b, t, width) and k, v (b, s, width); without a mask each position sees those before.

        Args:
            mask: (b, 1, 1, s), added to the scores.
        """
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))  # (b, heads, ., width / heads)
        added = None if mask is None else mask.to(q.dtype)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=added, is_causal=added is None)
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
    """CTranslate2's name of a decoder's weight as torch has it: decoder/layer_0/ffn/... -> layers.0.ffn...."""
    if name == EMBEDDINGS:
        return "embeddings.weight"
    if name.endswith("encodings"):
        return "position_encodings.weight"
    dotted = name.removeprefix(_SIDE).replace("/", ".").replace("layer_norm.gamma", "layer_norm.weight")
    dotted = dotted.replace("layer_norm.beta", "layer_norm.bias")
    return f"layers.{dotted.removeprefix('layer_')}" if dotted[6:7].isdigit() else dotted
