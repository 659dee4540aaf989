"""Two processes train one network, as accelerate launches them, and get what one process gets."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from headstart.adapt.base import Reading
from headstart.adapt.cuts import anatomy
from headstart.adapt.recipe import Recipe, learn
from headstart.adapt.settings import Settings

TRAIN, TEST, READINGS = np.arange(35), np.arange(36, 48), (Reading(2),)

_SCRIPT = """
import os, pickle, sys
import numpy as np
from headstart.adapt.recipe import learn
with open(sys.argv[1], "rb") as file:
    learned = learn(*pickle.load(file))
np.savez(sys.argv[2] + os.environ["RANK"], *learned.scores, head=learned.moved.head)
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_two_processes_are_as_good_as_one(make_job, tmp_path) -> None:
    job = make_job("image")
    recipe = Recipe(Settings(epochs=2, batch=8, bf16=False), anatomy(job.source).cuts[0], views=2)
    one = learn(replace(job, folder=tmp_path / "one"), recipe, TRAIN, TEST, READINGS)
    given = tmp_path / "given.pickle"
    given.write_bytes(pickle.dumps((job, recipe, TRAIN, TEST, READINGS)))
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
              "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}  # fmt: skip
    command = [sys.executable, "-c", _SCRIPT, str(given), str(tmp_path / "rank")]
    both = [
        subprocess.Popen(
            command, env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE
        )
        for rank in ("0", "1")
    ]
    errors = [process.communicate(timeout=240)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    for rank in ("0", "1"):
        with np.load(tmp_path / f"rank{rank}.npz") as found:
            np.testing.assert_allclose(found["arr_0"], one.scores[0], rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(found["head"], one.moved.head, rtol=1e-3, atol=1e-3)
    assert len(list(job.folder.glob("*.result.safetensors"))) == 1
