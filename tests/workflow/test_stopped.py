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

# Loaded by Python before the command: ridge holds a temporary folder and does not come to an end.
_SLOW_RIDGE = """
import os, time
from pathlib import Path
from headstart.heads.ridge import Ridge
from headstart.model.temporary import TemporaryFolder

def fit(*given, **more):
    held = TemporaryFolder()
    Path(os.environ["WORKING"]).touch()
    time.sleep(90)

Ridge.fit = fit
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
        each(time.sleep, [90])
"""
_STOPS = [
    (signal.SIGINT, 130, "interrupted: "),
    (signal.SIGTERM, 143, "terminated: temporary files were removed"),
]


@pytest.fixture
def stop(tmp_path, small_bert, letters):
    """stop(signal, *arguments): fit letters, send the signal while the slow part works; code, stdout, stderr."""
    added, scratch = tmp_path / "added", tmp_path / "scratch"
    scratch.mkdir()
    added.mkdir()

    def run(number: int, *arguments: str) -> tuple[int, str, str]:
        working = tmp_path / "working"
        command = ["fit", str(letters), "--source", str(small_bert), "--out", str(tmp_path / "out" / "m.headstart")]
        (tmp_path / "out").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "headstart.cli.main", *command, *arguments],
            env=os.environ | {"PYTHONPATH": str(added), "TMPDIR": str(scratch), "WORKING": str(working)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What is started in a shell's background inherits that SIGINT is ignored, and so would the fit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            while not working.exists():
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            assert list(scratch.glob("headstart-*"))
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert not list(scratch.glob("[!.]*"))  # ONNX Runtime leaves a hidden file of its own
        return process.returncode, out, err

    return run


@pytest.mark.parametrize(("number", "code", "line"), _STOPS)
def test_a_fold_in_progress_does_not_hold_up_the_end(stop, tmp_path, number, code, line):
    (tmp_path / "added" / "sitecustomize.py").write_text(_SLOW_RIDGE)
    found, out, err = stop(number)
    assert (found, out) == (code, "")
    assert err.splitlines()[-1].startswith(f"headstart: {line}")
    assert "Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("number", "code", "line"), _STOPS)
def test_a_training_in_progress_does_not_either_and_ctrl_c_still_reports(stop, tmp_path, number, code, line):
    _install(tmp_path / "added")
    found, out, err = stop(number, "--strategy", "frozen-ridge", "--strategy", "dawdler", "--no-cache", "--json")
    assert found == code
    assert err.splitlines()[-1].startswith(f"headstart: {line}")
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert json.loads(out)["plan"][-1]["outcome"] == "interrupted"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.headstart"]
    hs.load(tmp_path / "out" / "m.headstart")


def _install(folder: Path) -> None:
    """The slow strategy as an installed package."""
    (folder / "dawdler.py").write_text(_SLOW_STRATEGY)
    described = folder / "dawdler-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: dawdler\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[headstart.strategies]\ndawdler = dawdler:Dawdler\n")
