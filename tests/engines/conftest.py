"""Small graphs made on the spot, and sources around them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headstart.progress import Bar
from headstart.sources.base import GRAPH_FILE, ImageInput, Source, Tap, TextInput
from headstart.sources.whisper_encoder import Built, build

Arrays = dict[str, np.ndarray]

VOCABULARY, WIDTH, HEADS = 300, 16, 4
IMAGE_TAPS = ("stage1.mean", "stage1.max", "head.mean", "head.max")
TEXT_TAPS = ("layer0.mean", "layer0.max", "layer1.mean", "layer1.max", "layer1.first")


class Builder:
    """Collects nodes and constants."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: object) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def weight(self, name: str, *shape: int, scale: float = 0.3) -> str:
        return self.constant(name, (scale * self.rng.standard_normal(shape)).astype(np.float32))

    def node(self, operator: str, inputs: list[str], name: str | None = None, **attributes: object) -> str:
        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def save(self, path: Path, inputs: list[onnx.ValueInfoProto], outputs: tuple[str, ...], opset: int) -> Path:
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None]) for name in outputs]
        graph = helper.make_graph(self.nodes, "small", inputs, results, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def conv_net(path: Path, size: int = 32) -> Path:
    """A strided stem with uneven padding, a depthwise residual block, a pointwise head; mean and max of two stages."""
    b = Builder(0)
    b.constant("low", np.float32(0)), b.constant("high", np.float32(6)), b.constant("hw", np.array([2, 3]))

    def conv(x: str, name: str, cin: int, cout: int, k: int, **attributes: object) -> str:
        group = int(attributes.get("group", 1))  # type: ignore[call-overload]
        weights = [b.weight(f"{name}.w", cout, cin // group, k, k), b.weight(f"{name}.b", cout)]
        return b.node("Conv", [x, *weights], name, kernel_shape=[k, k], **attributes)

    stem = b.node("Clip", [conv("image", "stem", 3, 8, 3, strides=[2, 2], pads=[0, 0, 1, 1]), "low", "high"])
    for pooling, operator in (("mean", "ReduceMean"), ("max", "ReduceMax")):
        b.node(operator, [stem, "hw"], f"stage1.{pooling}", keepdims=0)
    deep = b.node("Relu", [conv(stem, "depthwise", 8, 8, 3, pads=[1, 1, 1, 1], group=8)])
    joined = b.node("Add", [stem, deep])
    head = b.node("HardSwish", [conv(joined, "pointwise", 8, 24, 1)])
    for pooling, operator in (("mean", "ReduceMean"), ("max", "ReduceMax")):
        b.node(operator, [head, "hw"], f"head.{pooling}", keepdims=0)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, size, size])
    return b.save(path, [image], IMAGE_TAPS, 18)


def transformer(path: Path) -> Path:
    """One pre-trained-looking encoder block with masked attention, and masked poolings before and after it."""
    b = Builder(1)
    for name, value in (
        ("one", np.float32(1)),
        ("large", np.float32(-1e4)),
        ("root", np.float32((WIDTH / HEADS) ** -0.5)),
    ):
        b.constant(name, value)
    for name, values in (("ax1", [1]), ("ax2", [2]), ("ax12", [1, 2]), ("zero", [0]), ("two", [2])):
        b.constant(name, np.array(values))
    b.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS])), b.constant("merge", np.array([0, 0, WIDTH]))
    length = b.node("Shape", ["input_ids"], start=1, end=2)
    positions = b.node("Slice", [b.weight("positions", 1, 64, WIDTH), "zero", length, "ax1"])
    words = b.node("Gather", [b.weight("words", VOCABULARY, WIDTH), "input_ids"])
    mask = b.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    column = b.node("Unsqueeze", [mask, "ax2"])
    hidden = b.node("Mul", [b.node("Sub", ["one", mask]), "large"])
    row, below = b.node("Unsqueeze", [hidden, "ax12"]), b.node("Unsqueeze", [hidden, "ax2"])
    count = b.node("ReduceSum", [column, "ax1"], keepdims=0)

    def norm(x: str, name: str) -> str:
        scale = b.constant(f"{name}.scale", (1 + 0.1 * b.rng.standard_normal(WIDTH)).astype(np.float32))
        return b.node("LayerNormalization", [x, scale, b.weight(f"{name}.bias", WIDTH)], axis=-1, epsilon=1e-6)

    def linear(x: str, name: str, cin: int, cout: int) -> str:
        return b.node("Add", [b.node("MatMul", [x, b.weight(f"{name}.w", cin, cout)]), b.weight(f"{name}.b", cout)])

    def heads(x: str, name: str, perm: list[int]) -> str:
        return b.node("Transpose", [b.node("Reshape", [linear(x, name, WIDTH, WIDTH), "split"])], perm=perm)

    def taps(x: str, layer: str) -> None:
        total = b.node("ReduceSum", [b.node("Mul", [x, column]), "ax1"], keepdims=0)
        b.node("Div", [total, count], f"{layer}.mean")
        b.node("ReduceMax", [b.node("Add", [x, below]), "ax1"], f"{layer}.max", keepdims=0)

    x = norm(b.node("Add", [words, positions]), "norm0")
    taps(x, "layer0")
    query, key, value = heads(x, "q", [0, 2, 1, 3]), heads(x, "k", [0, 2, 3, 1]), heads(x, "v", [0, 2, 1, 3])
    scores = b.node("Add", [b.node("Mul", [b.node("MatMul", [query, key]), "root"]), row])
    attended = b.node("MatMul", [b.node("Softmax", [scores], axis=-1), value])
    attended = b.node("Reshape", [b.node("Transpose", [attended], perm=[0, 2, 1, 3]), "merge"])
    x = norm(b.node("Add", [x, linear(attended, "o", WIDTH, WIDTH)]), "norm1")
    inner = b.node("Gelu", [linear(x, "up", WIDTH, 4 * WIDTH)])
    x = norm(b.node("Add", [x, linear(inner, "down", 4 * WIDTH, WIDTH)]), "norm2")
    taps(x, "layer1")
    b.constant("flat", np.array([0, 2 * WIDTH]))
    b.node("Reshape", [b.node("Slice", [x, "zero", "two", "ax1"]), "flat"], "layer1.first")
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")]
    return b.save(path, inputs, TEXT_TAPS, 20)


def sound_encoder() -> Built:
    """Two layers of Whisper's architecture, 8 bands, random weights."""
    rng = np.random.default_rng(2)
    shapes: dict[str, tuple[int, ...]] = {
        "conv1/weight": (WIDTH, 8, 3), "conv1/bias": (WIDTH,), "conv2/weight": (WIDTH, WIDTH, 3),
        "conv2/bias": (WIDTH,), "position_encodings/encodings": (200, WIDTH), "layer_norm/gamma": (WIDTH,),
        "layer_norm/beta": (WIDTH,),
    }  # fmt: skip
    for k in range(2):
        for part, linears in {"self_attention": [(3, 1), (1, 1)], "ffn": [(4, 1), (1, 4)]}.items():
            name = f"layer_{k}/{part}"
            shapes |= {f"{name}/layer_norm/gamma": (WIDTH,), f"{name}/layer_norm/beta": (WIDTH,)}
            for number, (outputs, inputs) in enumerate(linears):
                shapes[f"{name}/linear_{number}/weight"] = (outputs * WIDTH, inputs * WIDTH)
                shapes[f"{name}/linear_{number}/bias"] = (outputs * WIDTH,)
    state = {f"encoder/{name}": 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}
    return build(state | {"encoder/num_heads": np.array(HEADS)})


def images(n: int, size: int = 32, seed: int = 0) -> Arrays:
    return {"image": np.random.default_rng(seed).standard_normal((n, 3, size, size)).astype(np.float32)}


def texts(n: int, length: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    mask = (np.arange(length) < rng.integers(2, length + 1, (n, 1))).astype(np.int64)
    return {"input_ids": rng.integers(0, VOCABULARY, (n, length)) * mask, "attention_mask": mask}


def sounds(n: int, length: int, seed: int = 0) -> Arrays:
    return {"mel": np.random.default_rng(seed).standard_normal((n, 8, length)).astype(np.float32)}


def make_image_source(directory: Path) -> Source:
    directory.mkdir(parents=True, exist_ok=True)
    conv_net(directory / GRAPH_FILE)
    widths = (8, 8, 24, 24)
    taps = tuple(
        Tap(name, i // 2, name.split(".")[1], width)  # type: ignore[arg-type]
        for i, (name, width) in enumerate(zip(IMAGE_TAPS, widths, strict=True))
    )
    given = ImageInput(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Source("small-image", "image", "test", "Apache-2.0", 1000, "a" * 64, directory, given, taps)


def make_text_source(directory: Path) -> Source:
    directory.mkdir(parents=True, exist_ok=True)
    transformer(directory / GRAPH_FILE)
    words = {"[PAD]": 0, "[UNK]": 1} | {chr(97 + i): 2 + i for i in range(26)}
    words |= {f"##{letter}": 28 + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100, "vocab": words}  # fmt: skip
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None,
                 "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "decoder": None,
                 "model": model}  # fmt: skip
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    taps = tuple(
        Tap(name, int(name[5]), name.split(".")[1], 2 * WIDTH if name.endswith("first") else WIDTH)  # type: ignore[arg-type]
        for name in TEXT_TAPS
    )
    return Source("small-text", "text", "test", "Apache-2.0", 1000, "b" * 64, directory, TextInput(24), taps)


def make_sound_source(directory: Path) -> Source:
    directory.mkdir(parents=True, exist_ok=True)
    built = sound_encoder()
    onnx.save(built.model, str(directory / GRAPH_FILE))
    parts = (built.parameters, "c" * 64, directory, built.input, built.taps)
    return Source("small-sound", "sound", "test", "Apache-2.0", *parts)


@dataclass(frozen=True)
class Case:
    """A graph, its outputs, and feeds of n items (and, for texts, of a length)."""

    graph: Path
    outputs: tuple[str, ...]
    feeds: Callable[..., Arrays]


@pytest.fixture(scope="session")
def image_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(conv_net(tmp_path_factory.mktemp("image") / GRAPH_FILE), IMAGE_TAPS, images)


@pytest.fixture(scope="session")
def text_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(transformer(tmp_path_factory.mktemp("text") / GRAPH_FILE), TEXT_TAPS, texts)


@pytest.fixture(scope="session")
def sound_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    built, graph = sound_encoder(), tmp_path_factory.mktemp("sound") / GRAPH_FILE
    onnx.save(built.model, str(graph))
    return Case(graph, tuple(tap.name for tap in built.taps), sounds)


@pytest.fixture
def image_source(tmp_path: Path) -> Source:
    return make_image_source(tmp_path / "image")


@pytest.fixture
def text_source(tmp_path: Path) -> Source:
    return make_text_source(tmp_path / "text")


@pytest.fixture
def sound_source(tmp_path: Path) -> Source:
    return make_sound_source(tmp_path / "sound")


class Listener:
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bars: dict[str, int] = {}

    @contextmanager
    def bar(self, label: str, detail: str, total: int | None, unit: str) -> Iterator[Bar]:
        listener = self

        class Count:
            def advance(self, steps: int = 1, *, cached: bool = False) -> None:
                listener.bars[label] = listener.bars.get(label, 0) + steps

        yield Count()

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def listener() -> Listener:
    return Listener()
