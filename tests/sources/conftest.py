"""Fixtures of the source tests: a private home, and small models made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from headstart.sources.base import Source


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nothing of these tests touches the user's cache or a network."""
    path = tmp_path / "home"
    monkeypatch.setenv("HEADSTART_HOME", str(path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return path


@pytest.fixture
def run():
    """A function: source (or folder) and feeds -> outputs by name."""

    def run(source: Source | Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        graph = source.graph if isinstance(source, Source) else source / "graph.onnx"
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, feeds), strict=True))

    return run


@pytest.fixture
def image_file(tmp_path):
    """A function that writes a small convolutional model.onnx and its model.json; keywords override the description."""

    def write(*, opset: int = 18, batch: int | str = "n", **description: object) -> Path:
        weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
        nodes = [
            helper.make_node("Conv", ["pixels", "w"], ["map"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Flatten", ["map"], ["unused"]),
        ]
        outputs = [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [batch, 4, 8, 8]),
            helper.make_tensor_value_info("flat", TensorProto.FLOAT, [batch, 4]),
        ]
        pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, 16, 16])
        graph = helper.make_graph(nodes, "g", [pixels], outputs, [numpy_helper.from_array(weight, "w")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        folder = tmp_path / "image_file"
        folder.mkdir(exist_ok=True)
        onnx.save(model, folder / "model.onnx")
        values = {"modality": "image", "size": 16, "mean": 0.5, "std": 0.5, "taps": ["map", "flat"]} | description
        values = {key: value for key, value in values.items() if value is not None}
        (folder / "model.json").write_text(json.dumps(values))
        return folder / "model.onnx"

    return write


@pytest.fixture
def model_folder(tmp_path):
    """A function: transformers model type -> a folder with a tiny random encoder and a tokenizer trained here."""

    def make(kind: str, **settings: object) -> Path:
        import torch
        import transformers

        torch.manual_seed(0)
        size = {"vocab_size": 60, "max_position_embeddings": 40, "pad_token_id": 0} | settings
        config = transformers.AutoConfig.for_model(kind, **size)
        folder = tmp_path / kind
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        train_tokenizer().save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "model_max_length": 32}))
        return folder

    return make


@pytest.fixture
def model_file():
    """A function that writes a source with a head on some of its taps as a model, as `fit` does, without fitting long.

    What the head learned is noise: these tests are about the source in the file.
    """

    def write(source: Source, path: Path, *, taps=None, strategy="frozen-ridge-all", name="pets", n=12) -> Path:
        from headstart import registry
        from headstart.engines.memory import Choice
        from headstart.evidence.calibration import Calibration
        from headstart.features.blocks import Features
        from headstart.model.packing import write as pack_model
        from headstart.plan.crossfit import Fitted
        from headstart.plan.views import SourceView
        from headstart.tasks import Target

        rng = np.random.default_rng(0)
        features = Features(source.taps, rng.normal(size=(n, source.width)).astype(np.float16))
        view = SourceView(features, source, tuple(taps or source.taps), "all")
        target = Target("binary", np.arange(n) % 2, ("cat", "dog"))
        head = registry.get("headstart.heads", "ridge").fit(view.matrix(np.arange(n)), target)
        fitted = Fitted(view, head, Calibration.fit("binary", head.loo_scores, target))
        card = {
            "name": name, "modality": source.modality, "task": "binary", "classes": target.classes, "columns": (),
            "input": None, "data": {"name": name, "n": n, "seed": 0}, "versions": {},
        }  # fmt: skip
        report = {"chosen": {"source": source.name, "strategy": strategy}}
        pack_model(path, fitted, card, report, {source.name: Choice("onnxruntime", "fp32", 1, 1, 1.0)})
        return path

    return write


def train_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["the cat sat on the mat", "a dog ran far"], trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer
