"""Two processes train one network, as accelerate launches them, and get what one process gets."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from headstart.adapt import contrastive
from headstart.adapt.base import Reading
from headstart.adapt.cuts import anatomy
from headstart.adapt.recipe import Recipe, learn
from headstart.adapt.settings import Settings

from .test_contrastive_training import READINGS as CONTRASTED
from .test_contrastive_training import recipe as contrastive_recipe

TRAIN, TEST, READINGS = np.arange(35), np.arange(36, 48), (Reading(2),)

_SCRIPT = """
import os, pickle, sys
import numpy as np
from importlib import import_module
with open(sys.argv[2], "rb") as file:
    learned = import_module(sys.argv[1]).learn(*pickle.load(file))
np.savez(sys.argv[3] + os.environ["RANK"], *learned.scores, head=learned.moved.head)
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def by_two(learn, arguments: tuple, folder: Path) -> list[dict[str, np.ndarray]]:
    """What each of two processes makes of `learn(*arguments)`: `arr_0`, ... for the readings, and the head."""
    given = folder / "given.pickle"
    given.write_bytes(pickle.dumps(arguments))
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
              "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}  # fmt: skip
    command = [sys.executable, "-c", _SCRIPT, learn.__module__, str(given), str(folder / "rank")]
    ranks = ("0", "1")
    both = [
        subprocess.Popen(
            command, env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE
        )
        for rank in ranks
    ]
    errors = [process.communicate(timeout=240)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in ranks]


def test_two_processes_are_as_good_as_one(make_job, tmp_path) -> None:
    job = make_job("image")
    recipe = Recipe(Settings(epochs=2, batch=8, bf16=False), anatomy(job.source).cuts[0], views=2)
    one = learn(replace(job, folder=tmp_path / "one"), recipe, TRAIN, TEST, READINGS)
    for found in by_two(learn, (job, recipe, TRAIN, TEST, READINGS), tmp_path):
        np.testing.assert_allclose(found["arr_0"], one.scores[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found["head"], one.moved.head, rtol=1e-3, atol=1e-3)
    assert len(list(job.folder.glob("*.result.safetensors"))) == 1


def test_two_processes_contrast_as_one_does(make_job, tmp_path) -> None:
    job = make_job("text")
    how = contrastive_recipe(job)
    one = contrastive.learn(replace(job, folder=tmp_path / "one"), how, TRAIN, TEST, CONTRASTED)
    for found in by_two(contrastive.learn, (job, how, TRAIN, TEST, CONTRASTED), tmp_path):
        for i, scores in enumerate(one.scores):
            np.testing.assert_allclose(found[f"arr_{i}"], scores, atol=0.02 * scores.std())
        np.testing.assert_allclose(found["head"], one.moved.head, atol=0.02 * one.moved.head.std())
