"""transformers is the reference; encoders are tiny random ones saved on the spot."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import MissingLayerError, SourceError
from headstart.sources import transformers as provider
from headstart.sources.catalogue import open_source
from headstart.sources.torch_export import spread

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

COMMON = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}
KINDS = {
    "bert": COMMON,
    "roberta": COMMON,
    "mpnet": COMMON,
    "electra": COMMON | {"embedding_size": 8},
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 8, "hidden_dim": 16},
    "deberta-v2": COMMON | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": 8},
    "modernbert": COMMON | {"sep_token_id": 3, "cls_token_id": 2, "bos_token_id": 2, "eos_token_id": 3},
    "t5": {"num_layers": 2, "num_heads": 2, "d_model": 8, "d_kv": 4, "d_ff": 16},
}


def feeds(n=3, t=9):
    rng = np.random.default_rng(1)
    ids = rng.integers(5, 30, (n, t))
    mask = np.ones_like(ids)
    ids[0, 4:], mask[0, 4:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def expected(folder, inputs):
    model = transformers.AutoModel.from_pretrained(folder)
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.no_grad():
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        states = model.eval()(**tensors, output_hidden_states=True).hidden_states
    result = {}
    for depth, state in enumerate(states):
        kept = [x[m == 1] for x, m in zip(state.numpy(), inputs["attention_mask"], strict=True)]
        result[f"layer{depth}.mean"] = np.stack([x.mean(0) for x in kept])
        result[f"layer{depth}.max"] = np.stack([x.max(0) for x in kept])
        result[f"layer{depth}.first"] = state[:, :2].flatten(1).numpy()
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(kind, model_folder, run):
    folder = model_folder(kind, **KINDS[kind])
    source = open_source(str(folder))
    assert (source.name, source.modality, source.input.pad_id) == (kind, "text", 0)
    inputs = feeds()
    got, reference = run(source, inputs), expected(folder, inputs)
    assert list(got) == [tap.name for tap in source.taps]
    assert set(got) <= set(reference)
    assert "layer2.mean" in got
    for tap in source.taps:
        assert got[tap.name].shape == (3, tap.width)
        np.testing.assert_allclose(got[tap.name], reference[tap.name], atol=1e-4)


def test_bert_needs_no_torch(model_folder, run, monkeypatch):
    import sys

    folder = model_folder("bert", **COMMON | {"num_hidden_layers": 12})
    inputs = feeds()
    reference = expected(folder, inputs)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    source = open_source(str(folder))
    got = run(source, inputs)
    assert len(got) == 3 * 7
    assert "layer12.first" in got
    for name, value in got.items():
        np.testing.assert_allclose(value, reference[name], atol=1e-4)


def test_the_versions_of_what_does_not_export_do_not_matter(model_folder, monkeypatch):
    plain, other = model_folder("bert", **COMMON), model_folder("roberta", **COMMON)
    key = provider.Transformers().key
    before = key(str(plain)), key(str(other)), key("org/name")
    monkeypatch.setattr(provider, "versions", lambda *names: "later ones")
    assert key(str(plain)) == before[0]
    assert key(str(other)) != before[1]
    assert key("org/name") != before[2]
    monkeypatch.chdir(plain.parent)
    assert key("bert") == key("./bert/") == before[0]
    import safetensors.torch

    state = safetensors.torch.load_file(plain / "model.safetensors")
    half = {name: value.bfloat16() for name, value in state.items()}
    safetensors.torch.save_file(half, plain / "model.safetensors")
    assert "later ones" in key(str(plain))  # NumPy has no bfloat16, so that PyTorch exports it


def test_other_encoders_name_the_layer_they_need(model_folder, monkeypatch):
    import sys

    folder = model_folder("roberta", **COMMON)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLayerError, match=r"pip install 'headstart\[torch\]'"):
        open_source(str(folder))


@pytest.mark.parametrize(
    ("kind", "files", "tokens"),
    [
        ("bert", {}, 32),
        ("bert", {"sentence_bert_config.json": {"max_seq_length": 16}}, 16),
        ("bert", {"tokenizer_config.json": {"model_max_length": int(1e30)}}, 40),
        ("roberta", {"tokenizer_config.json": {}}, 39),
    ],
)
def test_lengths_and_prompts(kind, files, tokens, model_folder):
    folder = model_folder(kind, **COMMON)
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    for name, value in ({"config_sentence_transformers.json": prompts} | files).items():
        (folder / name).write_text(json.dumps(value))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    source = open_source(str(folder))
    assert source.input.max_tokens == tokens
    assert source.input.prefix == "query: "
    assert source.licence == "apache-2.0"


def test_wrong_folders(model_folder):
    folder = model_folder("roberta", **COMMON)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(SourceError, match=r"lacks the weights of 16 tensors"):
        open_source(str(folder))
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "nobody-knows", "auto_map": {"AutoModel": "x.Y"}})
    )
    with pytest.raises(SourceError, match=r"cannot be loaded"):
        open_source(str(folder))
    (folder / "model.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match=r"has no model.safetensors; expected .* or pytorch_model.bin") as caught:
        open_source(str(folder))
    assert "\n" not in str(caught.value)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SourceError, match=r"has no tokenizer.json"):
        open_source(str(folder))


@pytest.fixture
def pickled(model_folder):
    """A function: kind -> a folder whose weights are pickles, in shards if asked."""

    def make(kind, *, shards=1):
        folder = model_folder(kind, **COMMON)
        model = transformers.AutoModel.from_pretrained(folder)
        (folder / "model.safetensors").unlink()
        state = list(model.state_dict().items())
        if shards == 1:
            torch.save(dict(state), folder / "pytorch_model.bin")
            return folder
        names = [f"pytorch_model-{i + 1:05}-of-{shards:05}.bin" for i in range(shards)]
        for i, name in enumerate(names):
            torch.save(dict(state[i::shards]), folder / name)
        where = {key: names[i % shards] for i, (key, _) in enumerate(state)}
        index = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        return folder

    return make


@pytest.mark.parametrize(("kind", "shards"), [("bert", 1), ("roberta", 1), ("roberta", 2)])
def test_pickled_weights_are_read_as_plain_tensors(kind, shards, pickled, run):
    folder = pickled(kind, shards=shards)
    source = open_source(str(folder))
    inputs = feeds()
    got, reference = run(source, inputs), expected(folder, inputs)
    for tap in source.taps:
        np.testing.assert_allclose(got[tap.name], reference[tap.name], atol=1e-4)


def test_another_pickle_is_another_export(pickled):
    folder = pickled("roberta")
    before = open_source(str(folder))
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({name: value + 1 for name, value in state.items()}, folder / "pytorch_model.bin")
    assert open_source(str(folder)).fingerprint != before.fingerprint


class Malicious:
    """A pickle of it makes a file where it is loaded."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("layout", ["plain", "zip", "legacy", "shard"])
def test_code_in_a_pickle_is_not_run(layout, pickled, tmp_path):
    mark = tmp_path / "it ran"
    folder = pickled("roberta", shards=2 if layout == "shard" else 1)
    path = sorted(folder.glob("pytorch_model*.bin"))[0]
    if layout == "plain":
        path.write_bytes(pickle.dumps(Malicious(mark)))
    else:
        state = {**torch.load(path, weights_only=True), "embeddings.more": Malicious(mark)}
        torch.save(state, path, _use_new_zipfile_serialization=layout != "legacy")
    with pytest.raises(SourceError, match=r"cannot be loaded as an encoder from plain tensors") as caught:
        open_source(str(folder))
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    if layout == "plain":
        pickle.loads(path.read_bytes())
        assert mark.exists()  # it would have run


def test_a_pickle_is_not_read_by_a_torch_that_could_run_it(pickled, monkeypatch):
    folder = pickled("roberta")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(SourceError, match=r"PyTorch 2.5.1\+cpu does not read safely: pip install 'torch>=2.6'"):
        open_source(str(folder))


def test_a_shard_that_is_missing_is_named(pickled):
    folder = pickled("roberta", shards=2)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(SourceError, match=r"has no pytorch_model-00002-of-00002.bin; .* download it again"):
        open_source(str(folder))


def test_a_tokenizer_of_another_model(model_folder):
    folder = model_folder("bert", **COMMON, vocab_size=20)
    with pytest.raises(SourceError, match=r"the model knows 20 tokens; use the tokenizer that belongs"):
        open_source(str(folder))


def test_no_hub():
    with pytest.raises(SourceError, match=r"hf download nobody/nothing --local-dir FOLDER") as caught:
        open_source("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_spread():
    assert spread(3, 7) == [0, 1, 2]
    assert spread(7, 7) == list(range(7))
    assert spread(13, 7) == [1, 3, 5, 6, 8, 10, 12]
    for count in range(1, 60):
        chosen = spread(count, 6)
        assert chosen[-1] == count - 1
        assert len(chosen) == min(count, 6)
