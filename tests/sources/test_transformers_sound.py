"""Tiny random encoders, saved as transformers saves them, exported, and compared with the eager modules."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources import transformers_load
from headstart.sources.base import SoundInput
from headstart.sources.catalogue import modality_of, open_source

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVE = SIZE | {
    "conv_dim": [8, 8, 8], "conv_kernel": [10, 3, 3], "conv_stride": [5, 2, 2], "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0,
}  # fmt: skip


def saved(tmp_path, kind, settings, extractor):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **settings)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    folder = tmp_path / kind
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    return model, folder


def compare(source, run, name, inputs, states):
    """Mean and standard deviation of each state, by torch's own."""
    got = run(source, {name: inputs})
    assert list(got) == [tap.name for tap in source.taps]
    assert len(got) == 2 * len(states)
    for depth, state in enumerate(states):
        np.testing.assert_allclose(got[f"layer{depth}.mean"], state.mean(1).numpy(), atol=1e-4)
        np.testing.assert_allclose(got[f"layer{depth}.std"], state.std(1, correction=0).numpy(), atol=1e-4)


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm"])
def test_waves(kind, stable, tmp_path, run):
    extra = {"do_stable_layer_norm": stable, "feat_extract_norm": "layer" if stable else "group"}
    model, folder = saved(tmp_path, kind, WAVE | extra, {"sampling_rate": 8_000, "do_normalize": stable})
    assert modality_of(str(folder)) == "sound"
    source = open_source(str(folder))
    assert source.modality == "sound"
    assert source.input == SoundInput(rate=8_000, seconds=20.0, shortest=120, standardise=stable)
    assert source.parameters == sum(p.numel() for p in model.parameters())
    for n, t in ((1, 120), (2, 121), (1, 400), (1, 3_001)):
        wave = np.random.default_rng(t).standard_normal((n, t)).astype(np.float32)
        with torch.no_grad():
            result = model(torch.from_numpy(wave), output_hidden_states=True)
        assert result.last_hidden_state.shape[1] >= 5
        compare(source, run, "wave", wave, [*result.hidden_states[:-1], result.last_hidden_state])


def test_ast(tmp_path, run):
    settings = SIZE | {"num_mel_bins": 32, "max_length": 64, "patch_size": 8, "frequency_stride": 8, "time_stride": 8}
    extractor = {"sampling_rate": 16_000, "num_mel_bins": 32, "max_length": 64, "mean": -4.0, "std": 3.0}
    model, folder = saved(tmp_path, "audio-spectrogram-transformer", settings, extractor)
    source = open_source(str(folder))
    assert source.input == SoundInput(
        rate=16_000, seconds=pytest.approx(0.655), shortest=400, front="ast", bands=32, frames=64, mean=-4.0, std=6.0
    )
    mel = np.random.default_rng(0).standard_normal((2, 32, 64)).astype(np.float32)
    with torch.no_grad():
        result = model(torch.from_numpy(mel).transpose(1, 2), output_hidden_states=True)
    compare(source, run, "mel", mel, [*result.hidden_states[:-1], result.last_hidden_state])


def test_whisper(tmp_path, run):
    settings = {
        "d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_layers": 1,
        "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "num_mel_bins": 8, "max_source_positions": 50,
        "vocab_size": 60, "pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2,
    }  # fmt: skip
    model, folder = saved(tmp_path, "whisper", settings, {"sampling_rate": 16_000, "feature_size": 8})
    assert modality_of(str(folder)) == "sound"
    source = open_source(str(folder))
    assert source.input == SoundInput(rate=16_000, seconds=1.0, shortest=1_600, front="whisper", bands=8)
    mel = np.random.default_rng(0).standard_normal((1, 8, 100)).astype(np.float32)  # the length transformers takes
    with torch.no_grad():
        result = model.encoder(torch.from_numpy(mel), output_hidden_states=True)
    compare(source, run, "mel", mel, result.hidden_states)


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        ({"sampling_rate": 10**9}, "'sampling_rate'"),
        ({"do_normalize": "yes"}, "'do_normalize'.*true or false"),
    ],
)
def test_a_wrong_extractor_is_named(extractor, message, tmp_path):
    _, folder = saved(tmp_path, "hubert", WAVE, extractor)
    with pytest.raises(SourceError, match=message):
        open_source(str(folder))


def test_a_missing_extractor_is_named(tmp_path):
    _, folder = saved(tmp_path, "hubert", WAVE, {})
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(SourceError, match=r"has no preprocessor_config\.json.*save_pretrained"):
        open_source(str(folder))


def test_an_extractor_within_a_processor_is_read(tmp_path):
    """transformers 5 saves a processor as one file."""
    _, folder = saved(tmp_path, "hubert", WAVE, {})
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": {"sampling_rate": 8_000}}))
    assert not transformers_load.lacks(folder)
    assert open_source(str(folder)).input == SoundInput(rate=8_000, seconds=20.0, shortest=120, standardise=True)
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": 3}))
    with pytest.raises(SourceError, match=r"has no preprocessor_config\.json"):
        open_source(str(folder))
