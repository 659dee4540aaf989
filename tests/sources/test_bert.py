"""transformers' BertModel and sentence-transformers are the reference."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources import bert
from headstart.sources.bert_config import BertConfig, read_config
from headstart.sources.bundled import Bundled
from headstart.sources.catalogue import open_source
from headstart.sources.files import read_object

SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}


def pooled(states, mask):
    """The definition, text by text."""
    expected = {}
    for depth, state in enumerate(states):
        kept = [x[m == 1] for x, m in zip(state, mask, strict=True)]
        expected[f"layer{depth}.mean"] = np.stack([x.mean(0) for x in kept])
        expected[f"layer{depth}.max"] = np.stack([x.max(0) for x in kept])
        expected[f"layer{depth}.first"] = np.stack([x[:2].ravel() for x in state])
    return expected


def test_minilm_equals_its_references(run):
    if not {e.name: e for e in Bundled().entries()}["minilm_l6"].installed:
        pytest.skip("not installed")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    torch = pytest.importorskip("torch")
    from headstart.sources.bundled_packages import PACKAGES

    package = PACKAGES["minilm_l6"]
    texts = ["A cat.", "The quick brown fox jumps over the lazy dog, twice.", ""]
    reference = sentence_transformers.SentenceTransformer(str(package.locate()[0].parent), device="cpu")
    source = open_source("minilm_l6")
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(source.tokenizer))
    tokenizer.enable_padding(pad_id=source.input.pad_id)
    encoded = tokenizer.encode_batch(texts)
    ids = np.array([e.ids for e in encoded])
    mask = np.array([e.attention_mask for e in encoded])
    got = run(source, {"input_ids": ids, "attention_mask": mask})

    last = got["layer6.mean"] / np.linalg.norm(got["layer6.mean"], axis=1, keepdims=True)
    np.testing.assert_allclose(last, reference.encode(texts), atol=1e-4)
    model = reference[0].model if hasattr(reference[0], "model") else reference[0].auto_model
    with torch.no_grad():
        result = model(torch.tensor(ids), attention_mask=torch.tensor(mask), output_hidden_states=True)
    expected = pooled([state.numpy() for state in result.hidden_states], mask)
    assert list(got) == list(expected) == [tap.name for tap in source.taps]
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-4, rtol=1e-4)
    without_pooler = [p.numel() for n, p in model.named_parameters() if not n.startswith("pooler.")]
    assert source.parameters == sum(without_pooler)
    # Padding changes nothing.
    alone = run(source, {"input_ids": ids[:1, : mask[0].sum()], "attention_mask": mask[:1, : mask[0].sum()]})
    for name, value in alone.items():
        np.testing.assert_allclose(value[0], got[name][0], atol=1e-4, rtol=1e-4)


def test_config_says_whether_it_is_a_plain_bert(model_folder):
    config = read_object(model_folder("bert", **SHAPE) / "config.json")
    assert read_config(config, "c") == BertConfig(2, 2, 8, 40, 60, 1e-12)
    assert read_config(config | {"hidden_act": "relu"}, "c") is None
    assert read_config(config | {"model_type": "roberta"}, "c") is None
    with pytest.raises(SourceError, match=r"'num_hidden_layers' is 'two'.*'hidden_size' is '-1'"):
        read_config(config | {"num_hidden_layers": "two", "hidden_size": -1}, "c")
    with pytest.raises(SourceError, match=r"not a multiple"):
        read_config(config | {"num_attention_heads": 3}, "c")


def test_missing_weights_are_named():
    with pytest.raises(SourceError, match=r"embeddings.word_embeddings.weight is missing"):
        bert.build({}, BertConfig(1, 1, 4, 8, 5))
