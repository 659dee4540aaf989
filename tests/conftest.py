"""One cache folder for the whole test session: sources are exported and engines chosen once."""

from __future__ import annotations

import gc
import json
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

SHARED = Path(__file__).parents[1] / "../shared/data"
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests import onnxruntime themselves: see headstart.optional


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """HEADSTART_HOME of the session. Tests that count cache hits set their own with monkeypatch.

    Engines are timed for a moment, on few items and in fp32: which one is chosen decides nothing, and int8 is a graph
    to be made first.
    """
    from headstart.engines.measure import _candidates

    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(folder))
        patch.setattr("headstart.engines.measure.SECONDS", 0.02)
        patch.setattr("headstart.engines.measure.LONGEST_PASS", 0.0)
        patch.setattr(
            "headstart.engines.measure._candidates",
            lambda every: [one for one in _candidates(every) if one[1] == "fp32"],
        )
        yield folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits with the cheapest baseline alone, on three folds: for tests that are about something else."""
    from headstart.plan.candidates import baselines

    monkeypatch.setattr("headstart.plan.race.baselines", lambda *given: baselines(*given)[:1])
    monkeypatch.setattr("headstart.data.splits.usual_folds", lambda *given: 3)


@pytest.fixture
def limited() -> Callable[[str, int], AbstractContextManager[None]]:
    """limited("RLIMIT_FSIZE", 1000): a block in which the system refuses more than that, as a full disk does."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def block(name: str, most: int) -> Iterator[None]:
        kind = getattr(resource, name)
        before = resource.getrlimit(kind)
        resource.setrlimit(kind, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(kind, before)

    return block


def blob(rng: np.random.Generator, bright: bool, size: int = 48) -> np.ndarray:
    """Noise with a bright or a dark blob in a random place."""
    pixels = rng.integers(60, 190, (size, size, 3), dtype=np.uint8)
    y, x = rng.integers(4, size - 20, 2)
    pixels[y : y + 16, x : x + 16] = 245 if bright else 10
    return pixels


@pytest.fixture(scope="session")
def blobs(tmp_path_factory) -> Path:
    """60 small PNGs in two class folders."""
    folder = tmp_path_factory.mktemp("data") / "blobs"
    rng = np.random.default_rng(0)
    for name in ("bright", "dark"):
        (folder / name).mkdir(parents=True)
        for k in range(30):
            Image.fromarray(blob(rng, name == "bright")).save(folder / name / f"{k:02d}.png")
    return folder


def shape(rng: np.random.Generator, star: bool, size: int = 64) -> Image.Image:
    """A star or a disc of about the same area, in any colour, place, size and turn, on noise."""
    image = Image.fromarray(rng.integers(60, 190, (size, size, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    radius = int(rng.integers(9, 16))
    x, y = rng.integers(radius + 1, size - radius - 1, 2)
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    turn = rng.uniform(0, 2 * np.pi)
    if star:
        reach = radius * np.where(np.arange(10) % 2, 0.42, 1.0)
        angles = turn + np.arange(10) * np.pi / 5
        draw.polygon([*zip(x + reach * np.cos(angles), y + reach * np.sin(angles), strict=True)], fill=colour)
    else:
        half = 0.7 * radius
        draw.ellipse([x - half, y - half, x + half, y + half], fill=colour)
    return image


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """60 small PNGs in two class folders, which a pretrained source tells apart and colours or gradients do not."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    rng = np.random.default_rng(0)
    for name in ("disc", "star"):
        (folder / name).mkdir(parents=True)
        for k in range(30):
            shape(rng, name == "star").save(folder / name / f"{k:02d}.png")
    return folder


ANIMALS = "cat dog horse cow sheep goat pig lion tiger bear wolf fox rabbit mouse deer monkey whale eagle duck frog"
TOOLS = "hammer saw drill wrench pliers chisel axe screwdriver shovel rake file clamp anvil ladder knife scissors vice"


@pytest.fixture(scope="session")
def nouns() -> pd.DataFrame:
    """Texts that share no word within a class: a pretrained source tells them apart, counts of words do not."""
    words = {"animal": ANIMALS.split(), "tool": TOOLS.split()}
    rows = [(f"the {word}", label) for label, members in words.items() for word in members]
    return pd.DataFrame(rows, columns=["text", "label"])


@pytest.fixture(scope="session")
def glides(tmp_path_factory) -> Path:
    """40 clips of mixed rates, lengths and channels in two class folders: glides that rise and glides that fall."""
    sf = pytest.importorskip("soundfile")
    folder, rng = tmp_path_factory.mktemp("sounds") / "glides", np.random.default_rng(0)
    for k in range(40):
        rate = (8_000, 16_000, 22_050)[k % 3]
        time = np.arange(int(rate * rng.uniform(0.4, 2.3))) / rate
        low, high = rng.uniform(300, 600), rng.uniform(1_500, 2_500)
        first, last = (low, high) if k % 2 else (high, low)
        hertz = first + (last - first) * time / time[-1] / 2
        clip = 0.3 * np.sin(2 * np.pi * hertz * time) + rng.normal(0, 0.01, len(time))
        path = folder / ("up" if k % 2 else "down") / f"{k:02d}.{'flac' if k % 5 == 0 else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.stack([clip] * (1 + k % 2), axis=1), rate)
    return folder


@pytest.fixture(scope="session")
def ears(tmp_path_factory) -> Path:
    """An ONNX source of sounds: a convolution of random weights over log-mel frames."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder = tmp_path_factory.mktemp("ears")
    weight = np.random.default_rng(1).normal(0, 0.3, (12, 16, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["mel", "w"], ["map"], pads=[1, 1]),
        helper.make_node("Relu", ["map"], ["units"]),
        helper.make_node("Transpose", ["units"], ["positions"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["n", 16, "t"])],
        [helper.make_tensor_value_info("positions", TensorProto.FLOAT, ["n", "t", 12])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "ears.onnx")
    described = {"modality": "sound", "rate": 8_000, "seconds": 1.0, "shortest": 400, "front": "whisper", "bands": 16}
    (folder / "ears.json").write_text(json.dumps(described | {"taps": ["positions"]}))
    return folder / "ears.onnx"


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, Callable[[], object]], bool]:
    """let_go(kind, work): whether every `kind` that ran in `work` is gone after it, without the collector of cycles."""

    def gone(kind: type, work: Callable[[], object]) -> bool:
        ended: list[weakref.ref[object]] = []
        run = kind.run  # type: ignore[attr-defined]

        def followed(self: object, *given: object) -> object:
            ended.append(weakref.ref(self))
            return run(self, *given)

        monkeypatch.setattr(kind, "run", followed)
        gc.disable()
        try:
            work()
            return len(ended) > 0 and all(one() is None for one in ended)
        finally:
            gc.enable()

    return gone
