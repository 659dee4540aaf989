"""ONNX Runtime is imported without its telemetry, and the environment is as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart import optional

USED = """
import os, sys, threading
from headstart.engines.onnxruntime import OnnxRuntime
from headstart.optional import onnxruntime
from pathlib import Path
before = dict(os.environ)
OnnxRuntime().open(Path(sys.argv[1]), ["positions"], "fp32", 1)
assert dict(os.environ) == before
onnxruntime()
assert dict(os.environ) == before
"""


def test_it_leaves_nothing_behind(ears: Path, tmp_path: Path) -> None:
    """From version 1.29 on it writes a .ses file at least, of a thread that reports home."""
    asked = (optional._NO_TELEMETRY, "CI", "GITHUB_ACTIONS")
    environment = {name: value for name, value in os.environ.items() if name not in asked}
    environment |= dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "HEADSTART_HOME"), str(tmp_path))
    subprocess.run([sys.executable, "-c", USED, str(ears)], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("chosen", [None, "0"])
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, chosen: str | None) -> None:
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    if chosen is None:
        monkeypatch.delenv(optional._NO_TELEMETRY, raising=False)
    else:
        monkeypatch.setenv(optional._NO_TELEMETRY, chosen)
    seen = []
    monkeypatch.setattr(
        optional.importlib, "import_module", lambda name: seen.append((name, os.environ[optional._NO_TELEMETRY]))
    )
    optional.onnxruntime()
    assert seen == [("onnxruntime", chosen or "1")]
    assert os.environ.get(optional._NO_TELEMETRY) == chosen
