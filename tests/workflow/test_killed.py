"""Killed in the middle of a training: the same command goes on from there, and gives what an undisturbed one gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headstart.adapt.checkpoint import _read

for package in ("torch", "torchvision", "accelerate"):
    pytest.importorskip(package)

# The command line, on one core, with three folds and a checkpoint an epoch. Each step of a training adds a byte to a
# file; where there are as many as were asked for, it waits to be killed.
_SCRIPT = """
import os, sys, time
from dataclasses import replace
from headstart.adapt import checkpoint, contrastive_training, device, training
from headstart.cli.main import main
from headstart.data import splits
from headstart.engines.processor import processor
from headstart.plan import race
from headstart.plan.candidates import baselines
checkpoint._PATIENCE = 0.0
device.processor = training.processor = lambda: replace(processor(), cores=1)
race.baselines = lambda *given: baselines(*given)[:1]
splits.usual_folds = lambda *given: 3
steps = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def counted(step):
    def one(*given):
        os.write(steps, b".")
        while os.fstat(steps).st_size == int(sys.argv[2]):
            time.sleep(0.1)
        return step(*given)
    return one
training.Training._step = counted(training.Training._step)
contrastive_training.ContrastiveTraining._step = counted(contrastive_training.ContrastiveTraining._step)
sys.exit(main(sys.argv[3:]))
"""


class Runs:
    """One command run undisturbed, and again in another home with the same features and engines, to be killed there.

    Attributes:
        home, other: HEADSTART_HOME of the run that is killed, and of the undisturbed one.
    """

    def __init__(self, folder: Path, command: list[str]) -> None:
        self._command = command
        self.home, self.other = folder / "home", folder / "other"

    def undisturbed(self) -> tuple[dict[str, Any], int]:
        """What the run printed, and how many steps its trainings took."""
        found = self._finish(self.other)
        trained = shutil.ignore_patterns("trainings", "activations", "steps", "printed", "said", "out.*")
        shutil.copytree(self.other, self.home, ignore=trained)
        return found

    def killed(self, at: int) -> None:
        """Kill a run in its step `at`, of all its trainings together; there is a checkpoint then."""
        process = self._start(self.home, at)
        try:
            while not ((taken := self.home / "steps").is_file() and taken.stat().st_size == at):
                assert process.poll() is None, (self.home / "said").read_text()
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        (kept,) = [_read(path) for path in self.home.glob("trainings/*/*.resume.safetensors")]
        assert kept is not None
        assert kept.fields["step"] > 0

    def again(self) -> tuple[dict[str, Any], int]:
        """What the rerun printed, and the steps that both took together."""
        return self._finish(self.home)

    def _finish(self, home: Path) -> tuple[dict[str, Any], int]:
        process = self._start(home)
        assert process.wait() == 0, (home / "said").read_text()
        return json.loads((home / "printed").read_text()), (home / "steps").stat().st_size

    def _start(self, home: Path, stop: int = 0) -> subprocess.Popen[bytes]:
        home.mkdir(exist_ok=True)
        out = ["--out", str(home / ("out.svg" if self._command[0] == "curve" else "out.headstart"))]
        line = [sys.executable, "-c", _SCRIPT, str(home / "steps"), str(stop), *self._command, *out, "--json"]
        env = os.environ | {"HEADSTART_HOME": str(home), "OMP_NUM_THREADS": "1"}
        with (home / "printed").open("wb") as printed, (home / "said").open("wb") as said:  # no pipe that could fill
            return subprocess.Popen(line, env=env, stdout=printed, stderr=said)


pytestmark = pytest.mark.timeout(900)  # each starts three processes, which a busy machine makes wait
CASES = [("last-stages", "small_conv", "squares"), ("contrastive", "small_bert", "letters")]


@pytest.mark.parametrize(("strategy", "kind", "items"), CASES)
def test_a_fit_that_was_killed_gives_the_same_bytes(request, tmp_path, strategy, kind, items):
    source, data = (str(request.getfixturevalue(name)) for name in (kind, items))
    runs = Runs(tmp_path, ["fit", data, "--source", source, "--strategy", "frozen-ridge", "--strategy", strategy])
    whole, steps = runs.undisturbed()
    assert strategy in [one["strategy"] for one in whole["candidates"]]
    runs.killed(at=int(0.45 * steps))
    assert (runs.home / "out.headstart").is_file()  # the first model, saved before
    _, together = runs.again()
    first, second = ((home / "out.headstart").read_bytes() for home in (runs.other, runs.home))
    assert first == second
    assert together - steps < steps / (whole["folds"] + 1) / 2  # half of a training was not done twice
    assert not list(runs.home.glob("trainings/*/*.resume.safetensors"))


def test_a_curve_that_was_killed_gives_the_same_report(small_conv, squares, tmp_path):
    command = ["curve", str(squares), "--source", str(small_conv), "--shots", "2", "--draws", "1"]
    runs = Runs(tmp_path, [*command, "--strategy", "last-stages"])
    whole, steps = runs.undisturbed()
    runs.killed(at=int(0.45 * steps))
    found, together = runs.again()

    def measured(report: dict[str, Any]) -> list[tuple[str, Any]]:
        return [(one["name"], one["points"]) for one in report["curves"]]

    assert [name for name, _ in measured(whole)] == ["no transfer", "probe", "last-stages"]
    assert measured(found) == measured(whole)
    assert found["saved"] == whole["saved"]
    assert found["notes"] == whole["notes"]
    assert (runs.home / "out.svg").read_bytes() == (runs.other / "out.svg").read_bytes()
    assert together - steps < steps / 8
