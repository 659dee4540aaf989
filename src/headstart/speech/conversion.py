"""The weights of a recogniser under CTranslate2's names and under those of transformers; exact both ways.

transformers has q, k and v apart, and no bias of k: softmax over the keys does not see what is added to all of them
alike. CTranslate2 stacks q, k, v (and k, v of the attention to the encoder) and keeps a bias of k, which is zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import SourceError
from headstart.optional import require
from headstart.speech.checkpoint import Checkpoint, Weights, checked
from headstart.speech.dimensions import EMBEDDINGS, Dimensions

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

# CTranslate2's name -> that of transformers, outside of the layers.
_ALONE = {
    "encoder/conv1/weight": "model.encoder.conv1.weight",
    "encoder/conv1/bias": "model.encoder.conv1.bias",
    "encoder/conv2/weight": "model.encoder.conv2.weight",
    "encoder/conv2/bias": "model.encoder.conv2.bias",
    "encoder/position_encodings/encodings": "model.encoder.embed_positions.weight",
    "decoder/position_encodings/encodings": "model.decoder.embed_positions.weight",
    EMBEDDINGS: "model.decoder.embed_tokens.weight",
}
TIED = "proj_out.weight"  # the embedding once more


def state_dict(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """The weights as WhisperForConditionalGeneration names them, `proj_out.weight` among them; types are kept.

    Raises:
        SourceError: a bias of k is not zero.
    """
    weights, found = checkpoint.weights, {}
    for fused, names in _pairs(checkpoint.dimensions):
        parts = np.split(weights[fused], len(names))
        for name, part in zip(names, parts, strict=True):
            if name is not None:
                found[name] = part
            elif part.any():
                raise SourceError(f"{checkpoint.name}: {fused} has a bias of k, which transformers cannot hold")
    return {**found, TIED: found[_ALONE[EMBEDDINGS]]}


def from_state_dict(state: Mapping[str, NDArray[Any]], shape: Dimensions, where: str) -> Weights:
    """The weights under CTranslate2's names; the inverse of `state_dict`.

    Args:
        state: every weight once, in one type; `proj_out.weight` may be missing.
        where: what they are of, for messages.

    Raises:
        SourceError: a weight is missing or left over, or the projection is not the embedding.
    """
    left = dict(state)
    projection = left.pop(TIED, None)
    weights: dict[str, NDArray[Any]] = {}
    for fused, names in _pairs(shape):
        parts = []
        for name in names:
            if name is not None and name not in left:
                raise SourceError(f"{where}: {name} is missing: not the weights of a Whisper model")
            parts.append(None if name is None else left.pop(name))
        like = next(part for part in parts if part is not None)
        joined = [np.zeros_like(like) if part is None else part for part in parts]
        weights[fused] = joined[0] if len(joined) == 1 else np.concatenate(joined)
    if left:
        raise SourceError(f"{where}: {len(left)} weights are not those of a Whisper model, {min(left)} among them")
    if projection is not None and not np.array_equal(projection, weights[EMBEDDINGS]):
        raise SourceError(f"{where}: its output projection is not its embedding, which this recogniser cannot hold")
    return dict(sorted(weights.items()))


def to_transformers(checkpoint: Checkpoint) -> WhisperForConditionalGeneration:
    """The recogniser in PyTorch, float32, in eval mode, with tied embeddings.

    Raises:
        SourceError: as `state_dict`.
        MissingLayerError: torch or transformers is not installed.
    """
    torch = require("torch", "torch", "moving a recogniser's weights")
    transformers = require("transformers", "torch", "moving a recogniser's weights")
    shape, tokens = checkpoint.dimensions, checkpoint.tokens
    config = transformers.WhisperConfig(
        vocab_size=shape.vocabulary, num_mel_bins=shape.bands, d_model=shape.width,
        encoder_layers=shape.encoder_layers, encoder_attention_heads=shape.heads, encoder_ffn_dim=shape.inner,
        decoder_layers=shape.decoder_layers, decoder_attention_heads=shape.heads, decoder_ffn_dim=shape.inner,
        max_source_positions=shape.positions, max_target_positions=shape.text_positions,
        pad_token_id=tokens.end, bos_token_id=tokens.end, eos_token_id=tokens.end,
        decoder_start_token_id=tokens.start, suppress_tokens=None, begin_suppress_tokens=None,
        dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.WhisperForConditionalGeneration(config)
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in state_dict(checkpoint).items()}
    model.load_state_dict(state, strict=True, assign=True)
    model.tie_weights()
    return model.eval()


def from_transformers(model: WhisperForConditionalGeneration, checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint` with the weights of `model`, in the types that `checkpoint` has them in.

    Raises:
        SourceError: they are not those of such a recogniser, or not finite in that type.
    """
    state = {name: value.detach().float().cpu().numpy() for name, value in model.state_dict().items()}
    weights = from_state_dict(state, checkpoint.dimensions, checkpoint.name)
    with np.errstate(over="ignore"):  # told by `checked`
        kept = {name: array.astype(checkpoint.weights[name].dtype) for name, array in weights.items()}
    return checked(replace(checkpoint, weights=kept))


def _pairs(shape: Dimensions) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    """CTranslate2's name, and the names of transformers that are stacked in it; None is the absent bias of k."""
    yield from ((ours, (theirs,)) for ours, theirs in _ALONE.items())
    for side, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        yield from _both(f"{side}/layer_norm", f"model.{side}.layer_norm", norm=True)
        for k in range(layers):
            ours, theirs = f"{side}/layer_{k}", f"model.{side}.layers.{k}"
            yield from _attention(f"{ours}/self_attention", f"{theirs}.self_attn", fused=("q", "k", "v"))
            yield from _both(f"{ours}/self_attention/linear_1", f"{theirs}.self_attn.out_proj")
            yield from _both(f"{ours}/self_attention/layer_norm", f"{theirs}.self_attn_layer_norm", norm=True)
            if side == "decoder":
                yield from _both(f"{ours}/attention/linear_0", f"{theirs}.encoder_attn.q_proj")
                yield from _attention(f"{ours}/attention", f"{theirs}.encoder_attn", fused=("k", "v"))
                yield from _both(f"{ours}/attention/linear_2", f"{theirs}.encoder_attn.out_proj")
                yield from _both(f"{ours}/attention/layer_norm", f"{theirs}.encoder_attn_layer_norm", norm=True)
            yield from _both(f"{ours}/ffn/linear_0", f"{theirs}.fc1")
            yield from _both(f"{ours}/ffn/linear_1", f"{theirs}.fc2")
            yield from _both(f"{ours}/ffn/layer_norm", f"{theirs}.final_layer_norm", norm=True)


def _attention(ours: str, theirs: str, *, fused: tuple[str, ...]) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    linear = f"{ours}/linear_{'0' if 'q' in fused else '1'}"
    yield f"{linear}/weight", tuple(f"{theirs}.{part}_proj.weight" for part in fused)
    yield f"{linear}/bias", tuple(None if part == "k" else f"{theirs}.{part}_proj.bias" for part in fused)


def _both(ours: str, theirs: str, *, norm: bool = False) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    """A weight and its bias."""
    yield f"{ours}/{'gamma' if norm else 'weight'}", (f"{theirs}.weight",)
    yield f"{ours}/{'beta' if norm else 'bias'}", (f"{theirs}.bias",)
