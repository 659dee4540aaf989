"""Fits of a recogniser that are ended from outside, by real signals to a real process, and begun again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

for _module in ("ctranslate2", "jiwer", "whisper_normalizer", "torch", "peft"):
    pytest.importorskip(_module)
soundfile = pytest.importorskip("soundfile")

from headstart.speech.artefact import read  # noqa: E402

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="ends processes at once there"),
    pytest.mark.timeout(1200),  # each starts processes that import torch
]
FIXTURES = Path(__file__).parents[1] / "speech" / "conftest.py"
_SCRIPT = """
import importlib.util, signal, sys
from headstart.adapt import checkpoint
from headstart.adapt.settings import Settings
from headstart.cli.main import main
from headstart.speech.lora import Lora
from headstart.speech.recipe import RECIPES, Recipe
from headstart.workflow import transcription_task
spec = importlib.util.spec_from_file_location("fixtures", sys.argv[1])
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)
RECIPES["lora"] = Recipe(Settings(epochs=3, batch=4, rate=2e-2, bf16=False), Lora(4))
checkpoint._PATIENCE = 0.0
transcription_task.open_checkpoint = lambda _: fixtures.make_checkpoint()
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the process that tests does with it
sys.exit(main(["fit", sys.argv[2], "--task", "transcribe", "--language", "en", "--strategy", "lora", "--out",
    sys.argv[3], *sys.argv[4:]]))
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 tones, high and low, called by one word, as a table."""
    folder = tmp_path_factory.mktemp("calls")
    lines = ["path,text"]
    for k in range(15):
        t = np.arange(4000 + 100 * k) / 8000
        soundfile.write(folder / f"{k:02d}.wav", 0.4 * np.sin(2 * np.pi * (300 + 1500 * (k % 2)) * t), 8000)
        lines.append(f"{k:02d}.wav,yes")
    (folder / "calls.csv").write_text("\n".join(lines) + "\n")
    return folder / "calls.csv"


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(calls: Path, tmp_path: Path) -> Iterator[Start]:
    """Begins a fit: the name of its file and home, options. None outlives the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(name: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _SCRIPT, str(FIXTURES), str(calls), str(tmp_path / f"{name}.headstart")]
        home = {"HEADSTART_HOME": str(tmp_path / name), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        environment = {**os.environ, **home}
        begun.append(subprocess.Popen([*command, *options], env=environment, stdout=pipe, stderr=pipe, text=True))
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate()


def wait_for(running: subprocess.Popen[str], home: Path, pattern: str, count: int) -> None:
    while len(list(home.glob(pattern))) < count:
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.01)


STATES, TRAININGS = "activations/*/*.safetensors", "trainings/*/*.resume.safetensors"


def test_killed_twice_it_resumes_to_the_same_bytes(start: Start, tmp_path: Path) -> None:
    home, out = tmp_path / "killed", tmp_path / "killed.headstart"
    for pattern, count in ((STATES, 3), (TRAININGS, 2)):
        running = start("killed")
        wait_for(running, home, pattern, count)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert read(out).card.strategy == "untouched"  # saved before anything was tuned
    for name in ("killed", "whole"):
        running = start(name)
        err = running.communicate()[1]
        assert running.returncode == 0, err
    assert out.read_bytes() == (tmp_path / "whole.headstart").read_bytes()


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (signal.SIGINT, 130, "interrupted: the best recogniser so far was kept; the same command goes on from there"),
        (signal.SIGTERM, 143, "terminated: temporary files were removed"),
    ],
)
def test_ended_in_a_training_the_untouched_is_there(
    start: Start, tmp_path: Path, sent: signal.Signals, code: int, said: str
) -> None:
    running = start("ended")
    wait_for(running, tmp_path / "ended", TRAININGS, 1)
    running.send_signal(sent)
    err = running.communicate()[1]
    assert running.returncode == code
    assert err.splitlines()[-1] == f"headstart: {said}"
    assert "Traceback" not in err
    assert read(tmp_path / "ended.headstart").card.strategy == "untouched"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ended", "ended.headstart"]


def test_ended_while_clips_are_encoded_an_older_file_stays(start: Start, tmp_path: Path) -> None:
    (tmp_path / "early.headstart").write_bytes(b"older")
    running = start("early")
    wait_for(running, tmp_path / "early", STATES, 1)
    running.send_signal(signal.SIGINT)
    err = running.communicate()[1]
    assert running.returncode == 130
    assert "in the cache, so the same command goes on from there" in err
    assert (tmp_path / "early.headstart").read_bytes() == b"older"
