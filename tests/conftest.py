"""One cache folder for the whole test session: sources are exported and engines chosen once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
