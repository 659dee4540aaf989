"""The folders of trainings: one a data set and source, and no more than there is room for."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.features.blocks import Features
from headstart.plan.views import SourceView
from headstart.sources.base import Tap
from headstart.workflow.trainings import make_room, training_folder

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


def test_the_longest_unused_go_first(home):
    old, older, kept = folder(home, "b", 100, 9e4), folder(home, "a", 100, 9e5), folder(home, "c", 100, 9e6)
    assert make_room({kept}, 200) == [older]
    assert make_room({kept}, 100) == [old]
    assert kept.exists()


def test_what_was_written_to_lately_stays(home):
    fresh = folder(home, "fresh", 1000, 10)
    assert make_room(set(), 0) == []
    assert fresh.exists()


def test_nothing_to_remove(home):
    assert make_room(set(), 0) == []
