"""A source that is blind to what its data are about, and a strategy without torch that opens its eyes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from headstart import registry
from headstart.adapt.base import Job, Learned, Moved, Reading, Rows
from headstart.data import splits
from headstart.engines.memory import Choice
from headstart.engines.processor import processor
from headstart.heads.ridge import Ridge
from headstart.plan import race
from headstart.plan.candidates import baselines
from headstart.plan.strategies import GROUP
from headstart.sources.base import ImageInput, Source
from headstart.workflow import gather

from ..adapt.conftest import conv_net, text_net

SIDE = 16


@pytest.fixture(scope="session")
def corners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 images of four patches: the class is whether the first and the last differ in brightness, which no linear
    model of brightness tells."""
    folder, rng = tmp_path_factory.mktemp("corners") / "corners", np.random.default_rng(0)
    for name in ("differ", "same"):
        (folder / name).mkdir(parents=True)
    for k in range(80):
        first, last = k % 2, k // 2 % 2
        pixels = rng.integers(90, 160, (SIDE, SIDE, 3))
        pixels[:8, :8] += 80 * first - 40
        pixels[8:, 8:] += 80 * last - 40
        pixels[:8, 8:] += rng.integers(-70, 71)  # in the way of edges and of mean brightness
        pixels[8:, :8] += rng.integers(-70, 71)
        name = "same" if first == last else "differ"
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{k:02d}.png")
    return folder


@pytest.fixture(scope="session")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX source: the means of four patches and three channels, a layer of four units, and nothing of use in it."""
    folder = tmp_path_factory.mktemp("blind")
    weight = np.random.default_rng(1).normal(0, 0.1, (12, 4)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["patches"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["patches"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["units"]),
        helper.make_node("Relu", ["units"], ["seen"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "blind.onnx")
    described = {"modality": "image", "size": SIDE, "mean": [0.5] * 3, "std": [0.25] * 3, "taps": ["seen"]}
    (folder / "blind.json").write_text(json.dumps(described), encoding="utf-8")
    return folder / "blind.onnx"


@dataclass(eq=False)
class Opener:
    """Turns the units of the blind source, epoch by epoch, to the differences of its first and last patch.

    Attributes:
        useful: False: they are turned to nothing.
        raises: what `learn` raises, from the call `when` on.
        calls: how often `learn` ran.
    """

    name: str = "opener"
    useful: bool = True
    raises: BaseException | None = None
    when: int = 0
    refuses: str | None = None
    wrong: float = 0.0
    calls: int = 0

    def reason_not(self, job: Job) -> str | None:
        return self.refuses

    def estimated_seconds(self, job: Job, rows: int) -> float:
        return 0.01 * rows / 100

    def preparing_seconds(self, job: Job, rows: int) -> float:
        return 0.0

    def readings(self, job: Job, rows: int) -> tuple[Reading, ...]:
        return Reading(1), Reading(2, 0.5), Reading(2)

    def learn(self, job: Job, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
        self.calls += 1
        if self.raises is not None and self.calls > self.when:
            raise self.raises
        flat = np.stack([self._flat(Path(item)) for item in job.items])
        scores, fitted, weight = [], None, None
        (name, start), *_ = self._weights(job)
        for reading in readings:
            goal = np.zeros((12, 4), np.float32)
            if self.useful:
                goal[[0, 3]] = [[1, -1, 0, 0], [-1, 1, 0, 0]]
            share = np.float32(reading.epoch / 2 * reading.blend)
            weight = (1 - share) * start + share * goal
            x = np.maximum(flat @ weight, 0)
            fitted = Ridge().fit(x[train], job.target.take(train), weights=None)
            found = 3 * fitted.scores(x[test])
            scores.append(found + self.wrong * np.random.default_rng(0).normal(size=found.shape))
        assert fitted is not None
        assert weight is not None
        head = np.ascontiguousarray(3 * fitted.map.weight.T).astype(np.float32)
        moved = Moved({name: weight}, job.source.taps[-1:], head, (3 * fitted.map.bias).astype(np.float32))
        return Learned(tuple(scores), moved, ("a smaller batch",))

    def _flat(self, path: Path) -> np.ndarray:
        """(12,) what the graph's Flatten gives: channel by channel, the four patches."""
        pixels = (np.asarray(Image.open(path), np.float32) / 255 - 0.5) / 0.25
        return pixels.reshape(2, 8, 2, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(12)

    def _weights(self, job: Job) -> Iterator[tuple[str, np.ndarray]]:
        for tensor in onnx.load(job.source.graph).graph.initializer:
            if tuple(tensor.dims) == (12, 4):
                yield tensor.name, numpy_helper.to_array(tensor)


@dataclass(eq=False)
class Sure:
    """A registered strategy that claims to be right about items it did not learn from, so that it ships.

    Attributes:
        points: where it is read.
        given: job and result of each training on everything, in order.
    """

    learner: Any
    points: tuple[Reading, ...]
    given: list[tuple[Job, Learned]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)

    def readings(self, job: Job, rows: int) -> tuple[Reading, ...]:
        return self.points

    def learn(self, job: Job, train: Rows, test: Rows, readings: Sequence[Reading]) -> Learned:
        learned = self.learner.learn(job, train, test, readings)
        if np.isin(test, train).all():  # the training on everything, which is checked against the engine
            self.given.append((job, learned))
            return learned
        right = np.where(job.target.encoded()[test] > 0, 5.0, -5.0)
        return replace(learned, scores=tuple(right for _ in learned.scores))


@pytest.fixture
def claim(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sure]:
    """claim(name, reading, ...): the registered strategy of that name is sure of itself, and read there."""
    get = registry.get

    def put(name: str, *readings: Reading) -> Sure:
        sure = Sure(get(GROUP, name), readings)
        monkeypatch.setattr(registry, "get", lambda g, n: sure if (g, n) == (GROUP, name) else get(g, n))
        return sure

    return put


def as_file(source: Source, path: Path) -> Path:
    """A source as an ONNX file with its description, whose taps are the means."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.graph, path)
    taps = [tap.name for tap in source.taps if tap.name.endswith(".mean")]
    described: dict[str, Any] = {"modality": source.modality, "taps": taps}
    if isinstance(source.input, ImageInput):
        described |= {"size": source.input.size, "mean": list(source.input.mean), "std": list(source.input.std)}
    else:
        described["max_tokens"] = source.input.max_tokens
        shutil.copy(source.tokenizer, path.parent)
    path.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_conv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX source of images: dense and depthwise convolutions of random weights."""
    folder = tmp_path_factory.mktemp("small")
    return as_file(conv_net(folder / "net"), folder / "conv.onnx")


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX source of texts: two layers of attention with random weights."""
    folder = tmp_path_factory.mktemp("small")
    return as_file(text_net(folder / "net", vocabulary=100), folder / "bert.onnx")


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images in two class folders: a bright square in noise that stands or lies."""
    folder, rng = tmp_path_factory.mktemp("squares") / "squares", np.random.default_rng(4)
    for k in range(48):
        pixels = rng.integers(0, 120, (30, 30, 3), dtype=np.uint8)
        height, width = (18, 8) if k % 2 else (8, 18)
        y, x = rng.integers(0, 30 - height), rng.integers(0, 30 - width)
        pixels[y : y + height, x : x + width] += np.uint8(100)
        path = folder / ("tall" if k % 2 else "wide") / f"{k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 texts of single letters in a table: the class is whether an a comes before a b."""
    path, rng = tmp_path_factory.mktemp("letters") / "letters.csv", np.random.default_rng(5)
    lines = ["text,label"]
    for k in range(48):
        word = list(rng.choice(list("cdefghij"), int(rng.integers(4, 12))))
        first, second = sorted(rng.choice(len(word), 2, replace=False))
        word[first], word[second] = ("a", "b") if k % 2 else ("b", "a")
        lines.append(f"{' '.join(word)},{'up' if k % 2 else 'down'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """register(strategy, ...): these, and no others, are the strategies."""

    def put(*strategies: Any) -> None:
        points = {one.name: SimpleNamespace(name=one.name, load=lambda one=one: lambda: one) for one in strategies}
        found = registry._found
        monkeypatch.setattr(registry, "_found", lambda group: points if group == GROUP else found(group))
        made = registry._made
        monkeypatch.setattr(
            registry, "_made", lambda group, name: points[name].load()() if group == GROUP else made(group, name)
        )

    return put


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One baseline, three folds, one core, and an engine that does not round."""
    monkeypatch.setattr(race, "baselines", lambda *given: baselines(*given)[:1])
    monkeypatch.setattr(splits, "usual_folds", lambda *given: 3)
    for module in ("device", "training"):
        monkeypatch.setattr(f"headstart.adapt.{module}.processor", lambda: replace(processor(), cores=1))
    monkeypatch.setattr(gather, "choose", lambda *_, **__: Choice("onnxruntime", "fp32", 1, 1, 1.0))
