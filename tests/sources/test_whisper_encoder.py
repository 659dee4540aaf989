"""transformers' WhisperEncoder with the same weights is the reference, its position table cut to the clip's length."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources import whisper_encoder
from headstart.sources.base import SoundInput
from headstart.sources.bundled import Bundled
from headstart.sources.bundled_packages import PACKAGES
from headstart.sources.ctranslate2_file import read
from headstart.sources.graph import write

LENGTHS = (1, 2, 9, 100, 321)
SPLIT = {"query": 0, "key": 1, "value": 2}


def made_up(*, hidden=8, layers=2, heads=2, bands=5, positions=200):
    """Random weights under CTranslate2's names; the bias of each key is zero."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return (0.4 * rng.standard_normal(shape)).astype(np.float32)

    state = {
        "encoder/conv1/weight": draw(hidden, bands, 3), "encoder/conv1/bias": draw(hidden),
        "encoder/conv2/weight": draw(hidden, hidden, 3), "encoder/conv2/bias": draw(hidden),
        "encoder/position_encodings/encodings": draw(positions, hidden),
        "encoder/layer_norm/gamma": draw(hidden), "encoder/layer_norm/beta": draw(hidden),
        "encoder/num_heads": np.array(heads, np.int16),
    }  # fmt: skip
    for k in range(layers):
        for part, linears in {"self_attention": [(3, 1), (1, 1)], "ffn": [(4, 1), (1, 4)]}.items():
            name = f"encoder/layer_{k}/{part}"
            state |= {f"{name}/layer_norm/gamma": draw(hidden), f"{name}/layer_norm/beta": draw(hidden)}
            for number, (outputs, inputs) in enumerate(linears):
                state[f"{name}/linear_{number}/weight"] = draw(outputs * hidden, inputs * hidden)
                state[f"{name}/linear_{number}/bias"] = draw(outputs * hidden)
        state[f"encoder/layer_{k}/self_attention/linear_0/bias"][hidden : 2 * hidden] = 0
    return state


def reference(state):
    """transformers' encoder with these weights, loaded strictly."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    hidden, bands, _ = state["encoder/conv1/weight"].shape
    layers = sum(name.endswith("ffn/linear_0/weight") and name.startswith("encoder/layer_") for name in state)
    config = transformers.WhisperConfig(
        d_model=hidden,
        num_mel_bins=bands,
        encoder_layers=layers,
        encoder_attention_heads=int(state["encoder/num_heads"]),
        encoder_ffn_dim=len(state["encoder/layer_0/ffn/linear_0/bias"]),
        max_source_positions=len(state["encoder/position_encodings/encodings"]),
        attn_implementation="eager",
    )
    renamed = {"embed_positions.weight": state["encoder/position_encodings/encodings"]}
    plain = {"conv1": "conv1", "conv2": "conv2"}
    norms = {"layer_norm": "layer_norm"}
    for k in range(layers):
        mine, theirs = f"layer_{k}", f"layers.{k}"
        for part, stacked in enumerate(("q_proj", "k_proj", "v_proj")):
            for what in ("weight", "bias"):
                array = state[f"encoder/{mine}/self_attention/linear_0/{what}"]
                if (stacked, what) != ("k_proj", "bias"):
                    renamed[f"{theirs}.self_attn.{stacked}.{what}"] = np.split(array, 3)[part]
        plain[f"{mine}/self_attention/linear_1"] = f"{theirs}.self_attn.out_proj"
        plain |= {f"{mine}/ffn/linear_0": f"{theirs}.fc1", f"{mine}/ffn/linear_1": f"{theirs}.fc2"}
        norms |= {
            f"{mine}/self_attention/layer_norm": f"{theirs}.self_attn_layer_norm",
            f"{mine}/ffn/layer_norm": f"{theirs}.final_layer_norm",
        }
    for mine, theirs in plain.items():
        renamed |= {f"{theirs}.{what}": state[f"encoder/{mine}/{what}"] for what in ("weight", "bias")}
    for mine, theirs in norms.items():
        renamed |= {f"{theirs}.weight": state[f"encoder/{mine}/gamma"], f"{theirs}.bias": state[f"encoder/{mine}/beta"]}
    encoder = WhisperEncoder(config).eval()
    encoder.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in renamed.items()})
    return encoder


def expected(encoder, mel):
    """Mean and standard deviation of each depth. The encoder insists on full windows: its own layers are called."""
    import torch

    x = torch.from_numpy(mel)
    with torch.no_grad():
        x = torch.nn.functional.gelu(encoder.conv1(x))
        x = torch.nn.functional.gelu(encoder.conv2(x)).permute(0, 2, 1)
        states = [x + encoder.embed_positions.weight[: x.shape[1]]]
        for layer in encoder.layers:
            found = layer(states[-1], None)
            states.append(found[0] if isinstance(found, tuple) else found)
        states[-1] = encoder.layer_norm(states[-1])
    found = {}
    for depth, state in enumerate(states):
        found[f"layer{depth}.mean"] = state.mean(1).numpy()
        found[f"layer{depth}.std"] = state.std(1, correction=0).numpy()
    return found


def check(state, built, folder, run, lengths, most):
    encoder = reference(state)
    write(built.model, folder)
    rng = np.random.default_rng(1)
    for t in lengths:
        mel = rng.standard_normal((2, built.input.bands, t)).astype(np.float32)
        got, wanted = run(folder, {"mel": mel}), expected(encoder, mel)
        assert list(got) == [tap.name for tap in built.taps]
        for tap in built.taps:
            assert got[tap.name].shape == (2, tap.width)
            np.testing.assert_allclose(got[tap.name], wanted[tap.name], atol=most)
    full = np.zeros((1, built.input.bands, 2 * len(state["encoder/position_encodings/encodings"])), np.float32)
    full[:] = rng.standard_normal(full.shape)
    import torch

    with torch.no_grad():  # what transformers accepts, through its own forward
        whole = encoder(torch.from_numpy(full)).last_hidden_state
    last = built.taps[-2].name
    np.testing.assert_allclose(run(folder, {"mel": full})[last], whole.mean(1).numpy(), atol=most)
    learned = [p for name, p in encoder.named_parameters() if name != "embed_positions.weight"]
    assert built.parameters == sum(p.numel() for p in learned)


def test_made_up_weights_equal_transformers(tmp_path, run):
    state = made_up()
    built = whisper_encoder.build(state)
    assert [tap.depth for tap in built.taps] == [0, 0, 1, 1, 2, 2]
    assert [tap.pooling for tap in built.taps] == ["mean", "std"] * 3
    assert built.input == SoundInput(rate=16_000, seconds=4.0, shortest=1_600, front="whisper", bands=5)
    check(state, built, tmp_path, run, LENGTHS, 1e-5)


@pytest.mark.parametrize("name", ["whisper_tiny_en", "whisper_base"])
def test_the_bundled_encoders_equal_transformers(name, tmp_path, run):
    package = PACKAGES[name]
    if not package.locate():
        pytest.skip(f"{name} is not installed")
    state = read(b"".join(path.read_bytes() for path in package.locate()), name)
    built = whisper_encoder.build(state)
    assert (built.parameters, built.input) == (package.parameters, package.input)
    check(state, built, tmp_path, run, (10, 101, 498), 1e-4)
    exported = Bundled().export(name, tmp_path)
    assert (exported.taps, exported.licence) == (built.taps, "MIT")


def test_of_many_layers_some_are_tapped():
    built = whisper_encoder.build(made_up(layers=9), depths=4)
    assert len(built.taps) == 8
    assert built.taps[-1].depth == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder/conv1/weight": None}, "conv1/weight is missing"),
        ({"encoder/num_heads": np.array(3, np.int16)}, "3 heads"),
        ({"encoder/num_heads": np.array(0, np.int16)}, "0 heads"),
        ({"encoder/layer_0/ffn/linear_0/weight": None}, "0 layers"),
        ({"encoder/layer_1/self_attention/linear_0/weight": np.zeros((8, 8), np.float32)}, "of shape"),
        ({"encoder/conv2/bias": np.full(8, np.nan, np.float32)}, "finite"),
        ({"encoder/conv2/bias": np.zeros(8, np.int8)}, "int8"),
    ],
)
def test_other_weights_are_refused(change, message):
    state = {name: array for name, array in (made_up() | change).items() if array is not None}
    with pytest.raises(SourceError, match=message):
        whisper_encoder.build(state)
