"""Sound encoders of transformers: wav2vec 2.0, HuBERT, WavLM and their like, Whisper, AST.

Every hidden state, or seven evenly spaced ones, is pooled to mean and standard deviation over its positions. How a
sound is prepared is what the feature extractor's file says. Whisper's graph is that of
whisper_encoder.py, for transformers' own takes windows of 30 s only; the others are traced.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import SourceError
from headstart.optional import require
from headstart.sources.base import SoundInput, Tap
from headstart.sources.model_folder import ModelFolder
from headstart.sources.transformers_load import AST, WHISPER, extractor, load, quiet

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from headstart.sources.torch_export import Output

_DEPTHS = 7
_SECONDS = 20.0  # of a wave: about what wav2vec 2.0 and HuBERT were trained on
_POSITIONS = 5  # that the shortest wave has, at least
_HOP, _FRAME = 0.01, 0.025  # s, of AST's filter banks


def export_sound(folder: ModelFolder, directory: Path, reference: str) -> tuple[int, SoundInput, tuple[Tap, ...]]:
    """Write the graph of a sound encoder.

    Raises:
        SourceError: the folder lacks something, or the model cannot be exported.
        MissingLayerError: torch or transformers is not installed.
    """
    require("torch", "torch", f"exporting {reference!r}")
    require("transformers", "torch", f"exporting {reference!r}")
    how = None if folder.model_type == WHISPER else describe(folder)
    with quiet():
        model = load(folder)
        if how is None:
            return _export_whisper(model, directory)
        from headstart.sources.torch_export import export

        axes = {0: "n"} if how.frames else {0: "n", 1: "t"}
        taps = export(model, _collect_ast if folder.model_type == AST else _collect, _examples(how), axes, directory)
    return sum(value.numel() for value in model.parameters()), how, taps


def describe(folder: ModelFolder) -> SoundInput:
    """How the feature extractor prepares a sound.

    Raises:
        SourceError: its file is missing or wrong.
    """
    fields = extractor(folder.path)
    rate = fields.integer("sampling_rate", 16_000, low=1_000, high=384_000)
    normalised = fields.flag("do_normalize", True)
    if folder.model_type == AST:
        bands = fields.integer("num_mel_bins", 128, low=1, high=256)
        frames = fields.integer("max_length", 1024, low=2, high=1 << 14)
        mean = fields.number("mean", -4.2677393, low=-1e4, high=1e4)
        std = fields.number("std", 4.5689974, low=1e-6, high=1e3)
        fields.finish(others=True)
        seconds, shortest = _HOP * (frames - 1) + _FRAME, round(_FRAME * rate)
        mean, std = (mean, 2 * std) if normalised else (0.0, 1.0)
        return SoundInput(rate, seconds, shortest, "ast", bands, frames, mean, std)
    fields.finish(others=True)
    return SoundInput(rate, _SECONDS, _shortest(folder), standardise=normalised)


def _shortest(folder: ModelFolder) -> int:
    """Samples of which the convolutions make _POSITIONS positions."""
    kernels, strides = (_numbers(folder, key) for key in ("conv_kernel", "conv_stride"))
    samples = _POSITIONS
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=False):
        samples = (samples - 1) * stride + kernel
    return samples


def _numbers(folder: ModelFolder, key: str) -> list[int]:
    value = folder.config.get(key)
    if not isinstance(value, list) or not all(isinstance(one, int) and 1 <= one <= 1000 for one in value):
        raise SourceError(f"{folder.path / 'config.json'}: {key!r} is {str(value)[:60]!r}; expected a list of sizes")
    return value


def _examples(how: SoundInput) -> list[dict[str, torch.Tensor]]:
    import torch

    generator = torch.Generator().manual_seed(0)
    if how.frames:
        shapes: list[tuple[int, ...]] = [(n, how.bands, how.frames) for n in (2, 3)]
    else:
        shapes = [(2, 2 * how.shortest + 37), (3, how.shortest), (1, 4 * how.shortest + 5)]
    name = "wave" if how.front == "wave" else "mel"
    return [{name: torch.randn(shape, generator=generator)} for shape in shapes]


def _collect_ast(model: Any, mel: torch.Tensor) -> list[Output]:
    """AST takes (n, frames, bands)."""
    return _collect(model, mel.transpose(1, 2))


def _collect(model: Any, inputs: torch.Tensor) -> list[Output]:
    """Mean and standard deviation of some hidden states (n, t, width)."""
    from headstart.sources.torch_export import Output, spread

    result = model(inputs, output_hidden_states=True, return_dict=True)
    states = [*result.hidden_states[:-1], result.last_hidden_state]  # some normalise the last once more
    outputs = []
    for depth in spread(len(states), _DEPTHS):
        mean = states[depth].mean(1, keepdim=True)
        off = states[depth] - mean
        outputs.append(Output(f"layer{depth}.mean", depth, "mean", mean[:, 0]))
        outputs.append(Output(f"layer{depth}.std", depth, "std", (off * off).mean(1).sqrt()))
    return outputs


def _export_whisper(encoder: Any, directory: Path) -> tuple[int, SoundInput, tuple[Tap, ...]]:
    from headstart.sources import whisper_encoder
    from headstart.sources.graph import write

    state = {name: value.numpy() for name, value in encoder.state_dict().items()}
    built = whisper_encoder.build(_ctranslate2_names(state, encoder.config.encoder_attention_heads), _DEPTHS)
    write(built.model, directory)
    return built.parameters, built.input, built.taps


_RENAMED = {
    "self_attn_layer_norm.weight": "self_attention/layer_norm/gamma",
    "self_attn_layer_norm.bias": "self_attention/layer_norm/beta",
    "self_attn.out_proj.weight": "self_attention/linear_1/weight",
    "self_attn.out_proj.bias": "self_attention/linear_1/bias",
    "final_layer_norm.weight": "ffn/layer_norm/gamma",
    "final_layer_norm.bias": "ffn/layer_norm/beta",
    "fc1.weight": "ffn/linear_0/weight",
    "fc1.bias": "ffn/linear_0/bias",
    "fc2.weight": "ffn/linear_1/weight",
    "fc2.bias": "ffn/linear_1/bias",
}
_STEM = {
    "embed_positions.weight": "encoder/position_encodings/encodings",
    "layer_norm.weight": "encoder/layer_norm/gamma",
    "layer_norm.bias": "encoder/layer_norm/beta",
} | {f"conv{k}.{what}": f"encoder/conv{k}/{what}" for k in (1, 2) for what in ("weight", "bias")}


def _ctranslate2_names(state: dict[str, NDArray[np.float32]], heads: int) -> dict[str, NDArray[Any]]:
    """transformers' names of an encoder's weights as whisper_encoder.py has them; query, key and value stacked."""
    import numpy as np

    found: dict[str, NDArray[Any]] = {"encoder/num_heads": np.array(heads)}
    found |= {mine: state[theirs] for theirs, mine in _STEM.items()}
    layers = sum(name.endswith(".fc1.weight") for name in state)
    for k in range(layers):
        old, new = f"layers.{k}", f"encoder/layer_{k}"
        found |= {f"{new}/{mine}": state[f"{old}.{theirs}"] for theirs, mine in _RENAMED.items()}
        query, key, value = (f"{old}.self_attn.{part}_proj" for part in "qkv")
        weights = [state[f"{name}.weight"] for name in (query, key, value)]
        bias = state[f"{query}.bias"]
        found[f"{new}/self_attention/linear_0/weight"] = np.concatenate(weights)
        found[f"{new}/self_attention/linear_0/bias"] = np.concatenate([bias, 0 * bias, state[f"{value}.bias"]])
    return found
