"""Recognisers by reference: folders of transformers, hub names, and what is none of these."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from headstart.errors import SourceError
from headstart.speech.conversion import state_dict, to_transformers
from headstart.speech.opening import open_checkpoint
from headstart.speech.pretrained import read_folder

from .conftest import SHAPE, VOCABULARY, make_checkpoint, make_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def eager():
    """A small Whisper of transformers with random weights, no layer norm at its initial values."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=80, d_model=32, encoder_layers=2, encoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, max_source_positions=1500,
        max_target_positions=64, pad_token_id=256, bos_token_id=256, eos_token_id=256, decoder_start_token_id=257,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return model


@pytest.fixture
def folder(eager, tmp_path):
    path = tmp_path / "mine"
    eager.save_pretrained(path)
    (path / "tokenizer.json").write_bytes(make_tokenizer())
    return path


def change(folder, file="config.json", **values) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_logits_are_those_of_transformers(eager, folder) -> None:
    checkpoint = open_checkpoint(str(folder))
    assert (checkpoint.name, checkpoint.multilingual, checkpoint.dimensions) == ("mine", False, SHAPE)
    mel, ids = torch.randn(1, 80, 3000), torch.tensor([[257, 266, 5, 6, 7]])
    with torch.no_grad():
        expected = eager(mel, decoder_input_ids=ids).logits
        found = to_transformers(checkpoint)(mel, decoder_input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_in_shards_and_in_float16(eager, folder) -> None:
    whole = read_folder(folder, name="x", origin="y")
    (folder / "model.safetensors").unlink()
    eager.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert read_folder(folder, name="x", origin="y").fingerprint == whole.fingerprint
    next(iter(sorted(folder.glob("model-*.safetensors")))).unlink()
    with pytest.raises(SourceError, match=r"has no model-00001"):
        open_checkpoint(str(folder))


def test_settings_of_generation_come_first(folder) -> None:
    change(folder, suppress_tokens=[1], begin_suppress_tokens=[2])
    assert open_checkpoint(str(folder)).settings.suppress == (1,)
    change(
        folder, "generation_config.json", suppress_tokens=[3, 4, -1], begin_suppress_tokens=[5], is_multilingual=True
    )
    settings = open_checkpoint(str(folder)).settings
    assert (settings.suppress, settings.suppress_first, settings.multilingual) == ((3, 4), (5,), True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "bert"}, "model_type"),
        ({"decoder_attention_heads": 2}, "differ in heads"),
        ({"activation_function": "relu"}, "gelu"),
        ({"scale_embedding": True}, "scale_embedding"),
        ({"d_model": 1 << 40}, "d_model"),
        ({"d_model": 64}, "config.json says"),
        ({"encoder_layers": 3}, "layers.2"),
        ({"decoder_layers": 1}, "not those of a Whisper"),
    ],
)
def test_what_its_config_says_must_be_so(folder, values, said) -> None:
    change(folder, **values)
    with pytest.raises(SourceError, match=said):
        open_checkpoint(str(folder))


def test_of_another_kind_of_model_that_is_what_is_said(folder) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text('{"model_type": "wav2vec2"}')
    with pytest.raises(SourceError, match=r"'model_type' is 'wav2vec2'; recognisers are of type whisper$"):
        open_checkpoint(str(folder))


def test_suppressed_tokens_are_ids(folder) -> None:
    change(folder, "generation_config.json", suppress_tokens=["a"])
    with pytest.raises(SourceError, match="suppress_tokens"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, file) -> None:
    (folder / file).unlink()
    with pytest.raises(SourceError, match=f"has no {file}: save the recogniser with"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("taught", [False, True])
def test_bfloat16_is_refused_with_what_to_do(eager, folder, taught) -> None:
    if taught:
        pytest.importorskip("ml_dtypes")  # from then on NumPy knows the type
    eager.to(torch.bfloat16).save_pretrained(folder)
    eager.float()
    with pytest.raises(SourceError, match="save the recogniser in float16 or float32"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("change_to", ["damaged", "untied", "nan"])
def test_weights_that_are_wrong(folder, change_to) -> None:
    file = folder / "model.safetensors"
    if change_to == "damaged":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        state = load_file(file)
        if change_to == "untied":
            state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"] + 1
        else:
            state["model.encoder.layer_norm.bias"][0] = np.nan
        save_file(state, file)
    with pytest.raises(SourceError, match=r"cannot be read|projection|finite"):
        open_checkpoint(str(folder))


def test_an_index_that_points_elsewhere(folder) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../x.safetensors"}}))
    with pytest.raises(SourceError, match="safetensors beside it"):
        open_checkpoint(str(folder))


def test_the_licence_is_that_of_the_model_card(folder) -> None:
    assert open_checkpoint(str(folder)).licence == "unknown"
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert open_checkpoint(str(folder)).licence == "apache-2.0"


def test_by_hub_name(folder, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("headstart.speech.pretrained.fetch", lambda name, *_: asked.append(name) or folder)
    assert open_checkpoint("openai/whisper-small").name == "openai/whisper-small"
    assert asked == ["openai/whisper-small"]


def test_a_name_that_is_none(tmp_path) -> None:
    with pytest.raises(SourceError, match=r"did you mean 'whisper_tiny_en'.*there are whisper_tiny_en, whisper_base"):
        open_checkpoint("whisper_tiny")
    with pytest.raises(SourceError, match=r"has no config\.json"):
        open_checkpoint(str(tmp_path))


def test_transformers_writes_what_is_read_again(tmp_path) -> None:
    checkpoint = make_checkpoint(dtype=np.float32)
    to_transformers(checkpoint).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(checkpoint.tokenizer)
    back = state_dict(open_checkpoint(str(tmp_path)))
    for name, array in state_dict(checkpoint).items():
        np.testing.assert_array_equal(back[name], array)
