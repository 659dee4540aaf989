"""Exported sources are listed and cleared, but never from under a process that uses them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from headstart.paths import sources_dir
from headstart.sources.base import Exported, ImageInput, Tap
from headstart.sources.exported import clear, usage
from headstart.sources.record import write_record


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    return tmp_path


def export(name: str, size: int) -> None:
    folder = sources_dir() / f"{name}-0123"
    folder.mkdir(parents=True)
    (folder / "graph.onnx").write_bytes(bytes(size))
    half = (0.5, 0.5, 0.5)
    taps = (Tap("a", 0, "mean", 2),)
    write_record(Exported(name, "image", "a test", "none", 1, ImageInput(8, half, half), taps), folder)


def test_usage_and_clear():
    assert usage() == []
    assert clear().bytes == 0
    export("small", 10)
    export("large", 10_000)
    (sources_dir() / ".exporting-x").mkdir()
    large, small = usage()
    assert (large.directory, large.source, small.source) == ("large-0123", "large", "small")
    assert large.bytes > 10_000
    assert abs(large.last_used - time.time()) < 60
    assert clear("large-0123").bytes == large.bytes
    assert [one.source for one in usage()] == ["small"]
    assert clear().bytes == small.bytes
    assert [path.name for path in sources_dir().iterdir()] == [".exporting-x"]


def test_a_damaged_one_is_listed_and_cleared():
    export("a", 10)
    (sources_dir() / "a-0123" / "graph.onnx").write_bytes(b"")
    assert [one.source for one in usage()] == ["(damaged)"]
    assert clear().bytes > 0
    assert usage() == []


_USER = """
from headstart.paths import sources_dir
from headstart.sources.exported import hold
hold(sources_dir() / "a-0123")
print("ready", flush=True)
input()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps open files by itself")
def test_what_a_process_uses_stays(home):
    export("a", 10)
    export("b", 10)
    env = {**os.environ, "HEADSTART_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", _USER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout.readline() == "ready\n"
        assert clear().in_use == ("a-0123",)
        assert [one.source for one in usage()] == ["a"]
        user.communicate("\n")
    assert clear().in_use == ()
    assert usage() == []
