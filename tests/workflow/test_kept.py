"""Everything kept on disk is seen, and cleared by kind or by name; sources only when they are named."""

from __future__ import annotations

import os

import numpy as np
import pytest

from headstart import paths
from headstart.adapt.activations import Activations
from headstart.errors import OptionError, StorageError
from headstart.features.cache import Space, open_cache
from headstart.sources.base import Exported, ImageInput, Tap
from headstart.sources.record import write_record
from headstart.workflow.kept import clear, kept

SPACES = [Space("tiny", "a", 8, "float16"), Space("small", "b", 8, "float16")]
KEY = b"k" * 32


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    for space in SPACES:
        with open_cache(space) as opened:
            opened.put_many([KEY], np.ones((1, 8), np.float16))
    Activations("a").put([KEY], [np.ones(5, np.float16)])
    training = paths.trainings_dir() / "tiny-ab12"
    training.mkdir(parents=True)
    (training / "k.result.safetensors").write_bytes(b"1234")
    source = paths.sources_dir() / "tiny-77"
    source.mkdir(parents=True)
    (source / "graph.onnx").write_bytes(b"graph")
    half = (0.5, 0.5, 0.5)
    taps = (Tap("a", 0, "mean", 2),)
    write_record(Exported("tiny", "image", "a test", "none", 1, ImageInput(8, half, half), taps), source)
    return tmp_path


def kinds() -> list[str]:
    return [line.kind for line in kept()]


def test_every_kind_is_listed():
    assert kinds() == ["features", "features", "activations", "trainings", "sources"]
    lines = kept()
    assert {line.name for line in lines[:2]} == {space.name for space in SPACES}
    assert (lines[2].name, lines[2].items) == ("activations", 1)
    assert (lines[3].name, lines[3].of, lines[3].bytes) == ("tiny-ab12", "tiny", 4)
    assert (lines[4].name, lines[4].of) == ("tiny-77", "tiny")
    assert all(line.bytes > 0 for line in lines)


def test_without_a_name_all_but_the_sources_goes():
    taken = {kind: sum(line.bytes for line in kept() if line.kind == kind) for kind in kinds()}
    cleared = clear()
    del taken["sources"]
    assert cleared.kinds == taken
    assert cleared.freed == sum(taken.values())
    assert kinds() == ["sources"]


def test_by_kind_and_by_name():
    assert list(clear(["trainings", SPACES[0].name]).kinds) == ["features", "trainings"]
    assert [line.name for line in kept()] == [SPACES[1].name, "activations", "tiny-77"]
    assert list(clear(["sources"]).kinds) == ["sources"]
    assert kinds() == ["features", "activations"]


def test_other_names_are_refused_before_anything_goes():
    with pytest.raises(OptionError, match=r"nothing is kept as 'other': give features, activations, .*tiny-77"):
        clear(["features", "other"])
    assert len(kinds()) == 5


def test_what_lies_in_a_folder_that_cannot_be_written_is_not_said_to_be_cleared(home, monkeypatch):
    writable = os.access  # chmod would not hold back an administrator
    monkeypatch.setattr(os, "access", lambda path, mode: path != home / "features" and writable(path, mode))
    for names in ([], ["features"], [SPACES[0].name]):
        with pytest.raises(StorageError, match="features cannot be written, so nothing was cleared"):
            clear(names)
    assert len(kinds()) == 5
    assert clear(["trainings"]).freed > 0
