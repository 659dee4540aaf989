"""Samples are laid out whole, kept, and mended."""

import importlib
import os
import shutil

import pytest

from headstart import paths
from headstart.data import lay_out as laying
from headstart.data import read, sample_path, samples
from headstart.errors import MissingLayerError, OptionError, StorageError
from headstart.optional import has


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One for all tests here, so that each sample is laid out once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _use_home(home, monkeypatch):
    monkeypatch.setenv("HEADSTART_HOME", str(home))


def installed():
    return [sample for sample in samples() if sample.installed]


@pytest.mark.parametrize("sample", installed(), ids=lambda sample: sample.name)
def test_each_sample_is_what_the_list_says(sample):
    path = sample_path(sample.name)
    data = read(path)
    assert data.modality == sample.modality
    assert data.target.task == sample.task
    assert len(data.target.classes) == sample.classes
    assert sample.n in (None, len(data))
    assert not data.skipped
    assert path.is_relative_to(paths.samples_dir())
    before = path.stat().st_mtime_ns
    assert sample_path(sample.name) == path
    assert path.stat().st_mtime_ns == before
    names = [sample.name for sample in samples()]
    assert not set(os.listdir(paths.samples_dir())) - {*names, *(f".{name}.json" for name in names)}


def test_texts_are_many_and_each_is_of_one_module():
    data = read(sample_path("api-docs"))
    assert len(data) > 800
    assert len(set(data.items)) == len(data)
    assert not any("different labels" in note for note in data.notes)


def test_tables_hold_what_scikit_learn_loads():
    import numpy as np
    from sklearn.datasets import load_breast_cancer

    data, bunch = read(sample_path("breast-cancer")), load_breast_cancer()
    assert np.array_equal(data.items, bunch.data)
    assert data.columns == tuple(bunch.feature_names)
    assert [data.target.classes[code] for code in data.target.y] == [bunch.target_names[code] for code in bunch.target]


@pytest.mark.skipif(not has("elpv_dataset"), reason="elpv-dataset is not installed")
def test_solar_cells_counts():
    data = read(sample_path("solar-cells"))
    # 588 + 920 sound and 313 + 402 defective cells, mono- and polycrystalline.
    assert data.target.classes == ("defective", "sound")
    assert [(data.target.y == code).sum() for code in (0, 1)] == [715, 1508]


CONTENT = {"a/1": b"one", "b/2": b"two"}

DAMAGE = {
    "file gone": lambda folder, record: (folder / "a/1").unlink(),
    "cut short": lambda folder, record: (folder / "a/1").write_bytes(b"o"),
    "dead link": lambda folder, record: ((folder / "a/1").unlink(), (folder / "a/1").symlink_to("nowhere")),
    "folder gone": lambda folder, record: shutil.rmtree(folder),
    "record gone": lambda folder, record: record.unlink(),
    "record nonsense": lambda folder, record: record.write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_mended(tmp_path, damage):
    folder = tmp_path / "x"
    for _ in range(2):
        laying.lay_out(folder, CONTENT, "1")
        assert laying.is_intact(folder, "1")
        assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
        assert sorted(path.name for path in tmp_path.iterdir()) == [".x.json", "x"]
        DAMAGE[damage](folder, tmp_path / ".x.json")
        assert not laying.is_intact(folder, "1")


def test_a_damaged_sample_is_made_again():
    path = sample_path("breast-cancer")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert sample_path("breast-cancer").read_bytes() == whole


def test_links_fall_back_to_copies(tmp_path, monkeypatch):
    def refuse(self, target, target_is_directory=False):
        raise OSError("links are not allowed here")

    source = tmp_path / "source"
    source.write_bytes(b"content")
    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    laying.lay_out(tmp_path / "out/x", {"a/b": source}, "1")
    assert not (tmp_path / "out/x/a/b").is_symlink()
    assert (tmp_path / "out/x/a/b").read_bytes() == b"content"
    assert laying.is_intact(tmp_path / "out/x", "1")
    assert not laying.is_intact(tmp_path / "out/x", "2")


def test_a_home_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="HEADSTART_HOME"):
        sample_path("digits")


def test_unknown_and_absent(monkeypatch):
    with pytest.raises(OptionError, match=r"there are api-docs, .*solar-cells; did you mean 'solar-cells'"):
        sample_path("solar-cell")
    monkeypatch.setattr(
        importlib.import_module("headstart.data.samples"), "has", lambda module: module != "elpv_dataset"
    )
    with pytest.raises(MissingLayerError, match=r"pip install 'headstart\[samples\]'"):
        sample_path("solar-cells")
    assert not next(sample for sample in samples() if sample.name == "solar-cells").installed
