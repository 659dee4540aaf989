"""Small sources with random weights, and items whose labels the pixels, the letters or the pitch tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from headstart.adapt.base import Job
from headstart.engines.memory import Choice
from headstart.engines.processor import processor
from headstart.features.embed import embed
from headstart.sources import bert, whisper_encoder
from headstart.sources.base import ImageInput, Source, TextInput
from headstart.sources.graph import GraphBuilder, image_input, write
from headstart.tasks import Target

SIZE = 24
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def conv_net(directory: Path, seed: int = 0) -> Source:
    """Two stages and a head, as exports have them: batch normalisation folded, depthwise blocks, uneven padding."""
    rng, b = np.random.default_rng(seed), GraphBuilder()

    def conv(x: str, name: str, cin: int, cout: int, k: int, stride: int = 1, groups: int = 1, act: bool = True) -> str:
        fan = k * k * cin // groups
        weight = rng.normal(0, (2 / fan) ** 0.5, (cout, cin // groups, k, k)).astype(np.float32)
        parts = [b.constant(f"{name}.weight", weight), b.constant(f"{name}.bias", np.float32(rng.normal(0, 0.1, cout)))]
        after = k // 2
        pads = [after - (stride - 1) * (k > 1)] * 2 + [after] * 2
        y = b.node("Conv", x, *parts, name=name, kernel_shape=[k, k], strides=[stride] * 2, pads=pads, group=groups)
        bounds = b.constant("zero", 0.0), b.constant("six", 6.0)
        return b.node("Clip", y, *bounds, name=f"{name}.relu6") if act else y

    x = conv("image", "stem", 3, 8, 3, stride=2)
    y = conv(conv(x, "stage1.expand", 8, 16, 1), "stage1.depthwise", 16, 16, 3, groups=16)
    x = b.node("Add", conv(y, "stage1.project", 16, 8, 1, act=False), x, name="stage1.add")
    b.tap_positions(x, "stage1", 1, 8, 2, 3)
    y = conv(conv(x, "stage2.expand", 8, 16, 1), "stage2.depthwise", 16, 16, 3, stride=2, groups=16)
    x = conv(y, "stage2.project", 16, 12, 1, act=False)
    b.tap_positions(x, "stage2", 2, 12, 2, 3)
    x = conv(x, "conv_head", 12, 24, 1)
    b.tap_positions(x, "head", 3, 24, 2, 3)
    directory.mkdir(parents=True, exist_ok=True)
    write(b.model([image_input(SIZE)]), directory)
    given = ImageInput(SIZE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Source("small-image", "image", "test", "Apache-2.0", 3000, f"{seed:064x}", directory, given, tuple(b.taps))


def text_net(directory: Path, seed: int = 0, vocabulary: int = 30) -> Source:
    """A BERT of two layers over single letters."""
    rng = np.random.default_rng(seed)
    hidden, inner, positions, layers = 16, 32, 24, 2
    shape: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, hidden),
        "embeddings.position_embeddings.weight": (positions, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,), "embeddings.LayerNorm.bias": (hidden,),
    }  # fmt: skip
    for i in range(layers):
        at = f"encoder.layer.{i}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shape |= {f"{at}.{name}.weight": (hidden, hidden), f"{at}.{name}.bias": (hidden,)}
        shape |= {f"{at}.intermediate.dense.weight": (inner, hidden), f"{at}.intermediate.dense.bias": (inner,)}
        shape |= {f"{at}.output.dense.weight": (hidden, inner), f"{at}.output.dense.bias": (hidden,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shape |= {f"{at}.{name}.weight": (hidden,), f"{at}.{name}.bias": (hidden,)}
    state = {
        name: (("LayerNorm.weight" in name) + rng.normal(0, 0.3, size)).astype(np.float32)
        for name, size in shape.items()
    }
    model, taps, parameters = bert.build(state, bert.BertConfig(layers, 2, hidden, positions, vocabulary))
    directory.mkdir(parents=True, exist_ok=True)
    write(model, directory)
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | {letter: 4 + i for i, letter in enumerate(LETTERS)}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "decoder": None,
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": words},
    }  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    given = TextInput(20)
    return Source("small-text", "text", "test", "Apache-2.0", parameters, f"{seed + 7:064x}", directory, given, taps)


def sound_net(directory: Path, seed: int = 0) -> Source:
    """A Whisper encoder of two layers with windows of 0.8 s."""
    rng = np.random.default_rng(seed)
    hidden, bands, positions, layers = 16, 10, 40, 2
    shape: dict[str, tuple[int, ...]] = {
        "conv1/weight": (hidden, bands, 3), "conv1/bias": (hidden,),
        "conv2/weight": (hidden, hidden, 3), "conv2/bias": (hidden,),
        "position_encodings/encodings": (positions, hidden),
        "layer_norm/gamma": (hidden,), "layer_norm/beta": (hidden,),
    }  # fmt: skip
    for k in range(layers):
        for part, linears in {"self_attention": [(3, 1), (1, 1)], "ffn": [(2, 1), (1, 2)]}.items():
            at = f"layer_{k}/{part}"
            shape |= {f"{at}/layer_norm/gamma": (hidden,), f"{at}/layer_norm/beta": (hidden,)}
            for number, (outputs, inputs) in enumerate(linears):
                shape[f"{at}/linear_{number}/weight"] = outputs * hidden, inputs * hidden
                shape[f"{at}/linear_{number}/bias"] = (outputs * hidden,)
    state = {
        f"encoder/{name}": (("gamma" in name) + rng.normal(0, 0.3, size)).astype(np.float32)
        for name, size in shape.items()
    }
    built = whisper_encoder.build(state | {"encoder/num_heads": np.array(2, np.int16)})
    directory.mkdir(parents=True, exist_ok=True)
    write(built.model, directory)
    return Source(
        "small-sound", "sound", "test", "MIT", built.parameters, f"{seed + 14:064x}", directory, built.input, built.taps
    )


@pytest.fixture(scope="session")
def image_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return conv_net(tmp_path_factory.mktemp("conv_net"))


@pytest.fixture(scope="session")
def text_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return text_net(tmp_path_factory.mktemp("text_net"))


@pytest.fixture(scope="session")
def sound_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return sound_net(tmp_path_factory.mktemp("sound_net"))


@pytest.fixture(scope="session")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    """48 tones of three pitches in noise, 0.2 to 1.9 s, so of one window to three, and which pitch each has."""
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    folder, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(3)
    kinds = np.arange(48) % 3
    paths = []
    for i, kind in enumerate(kinds):
        time = np.arange(int(8_000 * rng.uniform(0.2, 1.9))) / 8_000
        tone = 0.2 * np.sin(2 * np.pi * 500 * 2**kind * rng.uniform(0.95, 1.05) * time)
        paths.append(folder / f"{i:02d}.wav")
        soundfile.write(paths[-1], tone + rng.normal(0, 0.05, len(time)), 8_000)
    return paths, kinds.astype(np.int64)


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray]:
    """48 noisy squares of three brightnesses, and which of them each is."""
    folder, rng = tmp_path_factory.mktemp("squares"), np.random.default_rng(1)
    kinds = np.arange(48) % 3
    paths = []
    for i, kind in enumerate(kinds):
        pixels = rng.integers(0, 90, (30, 30, 3), dtype=np.uint8)
        pixels[8:22, 8:22] += np.uint8(70 * kind)
        paths.append(folder / f"{i:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths, kinds.astype(np.int64)


@pytest.fixture(scope="session")
def texts() -> tuple[list[str], np.ndarray]:
    """48 rows of 3 to 15 letters, each of three kinds with its own third of the alphabet for most of them."""
    rng = np.random.default_rng(2)
    kinds = np.arange(48) % 3
    found = []
    for kind in kinds:
        n = int(rng.integers(3, 16))
        own = rng.choice(list(LETTERS[8 * kind : 8 * kind + 8]), n)
        mixed = np.where(rng.random(n) < 0.8, own, rng.choice(list(LETTERS), n))
        found.append(" ".join(mixed))
    return found, kinds.astype(np.int64)


def as_target(kinds: np.ndarray, task: str) -> Target:
    """The three kinds as labels of a task."""
    if task == "binary":
        return Target("binary", (kinds > 0).astype(np.int64), ("no", "yes"))
    if task == "multilabel":
        return Target("multilabel", np.stack([kinds > 0, kinds > 1], axis=1).astype(np.uint8), ("a", "b"))
    if task == "regression":
        return Target("regression", 10.0 + 3.0 * kinds.astype(np.float64), ("value",))
    return Target("multiclass", kinds, ("a", "b", "c"))


MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(request, image_source, text_source, image_files, texts, tmp_path) -> MakeJob:
    """A function: modality, task, fields of Job to replace -> a job on 48 items, its features from ONNX Runtime."""

    def make(modality: str = "image", task: str = "multiclass", **fields: object) -> Job:
        if modality == "sound":  # what reads sounds may be absent
            own, (items, kinds) = request.getfixturevalue("sound_source"), request.getfixturevalue("sound_files")
        else:
            own, (items, kinds) = (image_source, image_files) if modality == "image" else (text_source, texts)
        source = fields.pop("source", own)
        choice = Choice("onnxruntime", "fp32", 1, 1, 0.0)
        features = embed(items, source, choice=choice, use_cache=False)
        given = {"source": source, "items": items, "target": as_target(kinds, task), "features": features,
                 "folder": tmp_path / "kept"}  # fmt: skip
        return Job(**(given | fields))

    return make


@pytest.fixture
def write_graph() -> Callable[[Path, onnx.ModelProto], Path]:
    def save(path: Path, model: onnx.ModelProto) -> Path:
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path

    return save


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks this small are slower on two cores than on one, above all where others compute too."""
    one = replace(processor(), cores=1)
    for module in ("device", "training"):
        monkeypatch.setattr(f"headstart.adapt.{module}.processor", lambda: one)
