"""Killed in the middle of a training: the same command goes on from there, and gives what an undisturbed one gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart.adapt import checkpoint
from headstart.adapt.checkpoint import _read
from headstart.cli.main import main
from headstart.data import splits
from headstart.engines.memory import Choice, remember
from headstart.engines.processor import processor
from headstart.plan import race
from headstart.plan.candidates import baselines
from headstart.sources.catalogue import open_source

for package in ("torch", "torchvision", "accelerate"):
    pytest.importorskip(package)


def plainly(patch: Callable[[object, str, object], None], counted: Callable[[], None]) -> None:
    """On one core, with three folds and a checkpoint an epoch; `counted` is called before each step of a training."""
    from headstart.adapt import contrastive_training, device, training

    one_core = replace(processor(), cores=1)
    patch(checkpoint, "_PATIENCE", 0.0)
    patch(device, "processor", lambda: one_core)
    patch(training, "processor", lambda: one_core)
    patch(race, "baselines", lambda *given: baselines(*given)[:1])
    patch(splits, "usual_folds", lambda *given: 3)
    for kind in (training.Training, contrastive_training.ContrastiveTraining):
        step = kind._step

        def one(*given: Any, step: Any = step) -> Any:
            counted()
            return step(*given)

        patch(kind, "_step", one)


# The command line in a process of its own. Each step of a training adds a byte to a file; where there are as many as
# were asked for, it waits to be killed.
_SCRIPT = """
import importlib.util, os, sys, time
from headstart.cli.main import main
spec = importlib.util.spec_from_file_location("test_killed", sys.argv[1])
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
steps = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def counted():
    os.write(steps, b".")
    while os.fstat(steps).st_size == int(sys.argv[3]):
        time.sleep(0.1)
plain.plainly(setattr, counted)
sys.exit(main(sys.argv[4:]))
"""


class Runs:
    """One command run undisturbed, and again in another home with the same features and engines, to be killed there.

    Attributes:
        home, other: HEADSTART_HOME of the run that is killed, and of the undisturbed one.
        steps: of the trainings in this process.
    """

    def __init__(self, folder: Path, command: list[str], patch: pytest.MonkeyPatch, capsys: Any) -> None:
        self._command, self._patch, self._capsys = command, patch, capsys
        self.home, self.other = folder / "home", folder / "other"
        self.steps = 0
        plainly(patch.setattr, self._count)

    def undisturbed(self) -> tuple[dict[str, Any], int]:
        """What the run printed, and how many steps its trainings took."""
        self._patch.setenv("HEADSTART_HOME", str(self.other))
        source = open_source(self._command[self._command.index("--source") + 1])
        remember(source, Choice("onnxruntime", "fp32", 1, 1, 1000.0))
        found = self._run(self.other)
        trained = shutil.ignore_patterns("trainings", "activations", "out.*")
        shutil.copytree(self.other, self.home, ignore=trained)
        return found, self.steps

    def killed(self, at: int) -> None:
        """Kill a run in its step `at`, of all its trainings together; there is a checkpoint then."""
        steps, said = self.home / "steps", self.home / "said"
        line = [sys.executable, "-c", _SCRIPT, __file__, str(steps), str(at), *self._asked(self.home)]
        env = os.environ | {"HEADSTART_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        with said.open("wb") as file:  # no pipe that could fill
            process = subprocess.Popen(line, env=env, stdout=file, stderr=file)
        try:
            while not (steps.is_file() and steps.stat().st_size == at):
                assert process.poll() is None, said.read_text()
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        (kept,) = [_read(path) for path in self.home.glob("trainings/*/*.resume.safetensors")]
        assert kept is not None
        assert kept.fields["step"] > 0

    def again(self) -> tuple[dict[str, Any], int]:
        """What the rerun printed, and the steps that it took."""
        self._patch.setenv("HEADSTART_HOME", str(self.home))
        before = self.steps
        return self._run(self.home), self.steps - before

    def _run(self, home: Path) -> dict[str, Any]:
        self._capsys.readouterr()
        assert main(self._asked(home)) == 0
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return found

    def _asked(self, home: Path) -> list[str]:
        out = home / ("out.svg" if self._command[0] == "curve" else "out.headstart")
        return [*self._command, "--out", str(out), "--json"]

    def _count(self) -> None:
        self.steps += 1


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[[list[str]], Runs]:
    """runs(command)"""
    return lambda command: Runs(tmp_path, command, monkeypatch, capsys)


pytestmark = pytest.mark.timeout(900)  # each starts a process, which a busy machine makes wait
CASES = [("last-stages", "small_conv", "squares"), ("contrastive", "small_bert", "letters")]


@pytest.mark.parametrize(("strategy", "kind", "items"), CASES)
def test_a_fit_that_was_killed_gives_the_same_bytes(request, runs, strategy, kind, items):
    source, data = (str(request.getfixturevalue(name)) for name in (kind, items))
    both = runs(["fit", data, "--source", source, "--strategy", "frozen-ridge", "--strategy", strategy])
    whole, steps = both.undisturbed()
    assert strategy in [one["strategy"] for one in whole["candidates"]]
    at = int(0.45 * steps)
    both.killed(at)
    assert (both.home / "out.headstart").is_file()  # the first model, saved before
    _, rest = both.again()
    first, second = ((home / "out.headstart").read_bytes() for home in (both.other, both.home))
    assert first == second
    assert at + rest - steps < steps / (whole["folds"] + 1) / 2  # half of a training was not done twice
    assert not list(both.home.glob("trainings/*/*.resume.safetensors"))


def test_a_curve_that_was_killed_gives_the_same_report(small_conv, squares, runs):
    command = ["curve", str(squares), "--source", str(small_conv), "--shots", "2", "--draws", "1"]
    both = runs([*command, "--strategy", "last-stages"])
    whole, steps = both.undisturbed()
    at = int(0.45 * steps)
    both.killed(at)
    found, rest = both.again()

    def measured(report: dict[str, Any]) -> list[tuple[str, Any]]:
        return [(one["name"], one["points"]) for one in report["curves"]]

    assert [name for name, _ in measured(whole)] == ["no transfer", "probe", "last-stages"]
    assert measured(found) == measured(whole)
    assert found["saved"] == whole["saved"]
    assert found["notes"] == whole["notes"]
    assert (both.home / "out.svg").read_bytes() == (both.other / "out.svg").read_bytes()
    assert at + rest - steps < steps / 8
