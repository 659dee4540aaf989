"""One cache folder for the whole test session: sources are exported and engines chosen once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

SHARED = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """HEADSTART_HOME of the session. Tests that count cache hits set their own with monkeypatch."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(folder))
        yield folder


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
