"""The folders of trainings: one a data set and source, and no more than there is room for."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.adapt.checkpoint import Shelf
from headstart.features.blocks import Features
from headstart.plan.views import SourceView
from headstart.sources.base import Tap
from headstart.workflow.trainings import clear, make_room, training_folder, usage

TAP = Tap("a", 0, "mean", 2)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    return tmp_path


def view(matrix: np.ndarray, fingerprint: str = "0") -> SourceView:
    origin = SimpleNamespace(name="a source/of mine", fingerprint=fingerprint)
    return SourceView(Features((TAP,), matrix.astype(np.float16)), origin, (TAP,), "all")


def test_a_folder_is_of_the_source_and_the_items(home):
    one = view(np.eye(2))
    folder = training_folder(one)
    assert folder == training_folder(replace(one))
    assert folder.parent == home / "trainings"
    assert folder.name.startswith("a-source-of-mine-")
    assert training_folder(view(2 * np.eye(2))) != folder
    assert training_folder(view(np.eye(2), "1")) != folder


def folder(home: Path, name: str, size: int, age: float) -> Path:
    path = home / "trainings" / name / "deep"
    path.mkdir(parents=True)
    (path / "x").write_bytes(bytes(size))
    for part in (path / "x", path, path.parent):
        os.utime(part, (time.time() - age, time.time() - age))
    return path.parent


def test_the_longest_unused_go_first(home, monkeypatch):
    old, older, kept = folder(home, "b", 100, 9e4), folder(home, "a", 100, 9e5), folder(home, "c", 100, 9e6)
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "250")
    make_room({kept})
    assert (old.exists(), older.exists(), kept.exists()) == (True, False, True)
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "125")
    make_room({kept})
    assert (old.exists(), kept.exists()) == (False, True)


def test_what_was_written_to_lately_stays(home, monkeypatch):
    fresh = folder(home, "fresh", 1000, 10)
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "10")
    make_room(set())
    assert fresh.exists()


def test_usage_and_clear(home):
    assert usage() == []
    assert clear() == 0
    folder(home, "a", 100, 9e5)
    folder(home, "b", 200, 10)
    (home / "trainings" / "empty").mkdir()
    large, small = usage()
    assert (large.name, large.files, large.bytes, small.name, small.bytes) == ("b", 1, 200, "a", 100)
    assert abs(time.time() - large.last_used - 10) < 60
    assert clear("a") == 100
    assert not (home / "trainings" / "a").exists()
    assert clear() == 200
    assert usage() == []


def test_clearing_while_a_training_writes(home):
    shelf = Shelf(home / "trainings" / "a", "key")
    shelf.keep({"x": np.ones(3)}, {"epoch": 1})
    half = home / "trainings" / "a" / "key.resume.1.part"
    half.write_bytes(b"half a checkpoint, renamed in a moment")
    clear()
    assert half.exists()
    assert shelf.resume() is None
    shelf.keep({"x": np.ones(3)}, {"epoch": 2})
    assert shelf.trouble == ""
    assert shelf.resume().fields == {"epoch": 2}
