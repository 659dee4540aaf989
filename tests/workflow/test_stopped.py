"""Ctrl-C and SIGTERM while a thread is in the middle of a fold that nothing interrupts: the process ends at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import headstart as hs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes at once there")

# Loaded by Python before the command: a fold holds a temporary folder and does not come to an end.
_SLOW_FOLD = """
import os, time
from pathlib import Path
from headstart.evidence.calibration import Calibration
from headstart.model.temporary import TemporaryFolder

def fit(*given, **more):
    held = TemporaryFolder()
    Path(os.environ["WORKING"]).touch()
    time.sleep(600)

Calibration.fit = fit
"""

# A strategy of somebody else's, which moves weights in a thread and does not come to an end.
_SLOW_STRATEGY = """
import os, time
from pathlib import Path
from headstart.adapt.base import Reading
from headstart.plan.parallel import each

class Dawdler:
    name = "dawdler"

    def reason_not(self, job):
        return None

    def estimated_seconds(self, job, rows):
        return 0.1

    def preparing_seconds(self, job, rows):
        return 0.0

    def readings(self, job, rows):
        return (Reading(1),)

    def learn(self, *given):
        Path(os.environ["WORKING"]).touch()
        each(time.sleep, [600])
"""
_STOPS = [  # signal, exit code, beginning of the last line
    (signal.SIGINT, 130, "interrupted: "),
    (signal.SIGTERM, 143, "terminated: temporary files were removed"),
]


@pytest.fixture
def stop(tmp_path, small_bert, letters):
    """stop(*arguments): fits of letters, one for each of _STOPS and all at once; each gets its signal at its slow part.

    Gives, when one has ended as it should: the signal, the folder of its models, what it printed.
    """
    (tmp_path / "added").mkdir()
    telling = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}

    def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        for name in ("out", "scratch"):
            (folder / name).mkdir(parents=True)
        own = {"PYTHONPATH": tmp_path / "added", "TMPDIR": folder / "scratch", "WORKING": folder / "working"}
        command = ["fit", str(letters), "--source", str(small_bert), "--out", str(folder / "out" / "m.headstart")]
        return subprocess.Popen(
            [sys.executable, "-m", "headstart.cli.main", *command, *arguments],
            env=telling | {name: str(path) for name, path in own.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What is started in a shell's background inherits that SIGINT is ignored, and so would the fit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(*arguments: str):
        folders = [tmp_path / str(code) for _, code, _ in _STOPS]
        processes = [begin(folder, *arguments) for folder in folders]
        try:
            for folder, process, (number, code, line) in zip(folders, processes, _STOPS, strict=True):
                while not (folder / "working").exists():
                    assert process.poll() is None, process.communicate()
                    time.sleep(0.05)
                assert list((folder / "scratch").glob("headstart-*"))
                process.send_signal(number)
                out, err = process.communicate(timeout=30)
                assert process.returncode == code
                assert err.splitlines()[-1].startswith(f"headstart: {line}")
                assert "Traceback" not in err
                assert list((folder / "scratch").iterdir()) == []
                yield number, folder / "out", out
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    process.communicate()

    return run


def test_a_fold_in_progress_does_not_hold_up_the_end(stop, tmp_path):
    (tmp_path / "added" / "sitecustomize.py").write_text(_SLOW_FOLD)
    for _, models, out in stop():
        assert out == ""
        assert list(models.iterdir()) == []


def test_a_training_in_progress_does_not_either_and_ctrl_c_still_reports(stop, tmp_path):
    _install(tmp_path / "added")
    for number, models, out in stop("--strategy", "frozen-ridge", "--strategy", "dawdler", "--no-cache", "--json"):
        if number == signal.SIGINT:
            assert json.loads(out)["plan"][-1]["outcome"] == "interrupted"
        assert [path.name for path in models.iterdir()] == ["m.headstart"]
        hs.load(models / "m.headstart")


def _install(folder: Path) -> None:
    """The slow strategy as an installed package."""
    (folder / "dawdler.py").write_text(_SLOW_STRATEGY)
    described = folder / "dawdler-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: dawdler\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[headstart.strategies]\ndawdler = dawdler:Dawdler\n")
