"""What lies on disk after a kill, and which trainings count as the same."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from headstart.adapt.base import Learned, Moved, Reading
from headstart.adapt.checkpoint import Shelf, training_key
from headstart.tasks import Target

TRAIN, TEST = np.arange(40), np.arange(40, 48)
READINGS = (Reading(2), Reading(4, 0.5))


def key(job, **changes) -> str:
    given = {"settings": {"epochs": 4}, "train": TRAIN, "test": TEST, "readings": READINGS} | changes
    return training_key(job, **given)


def test_whatever_decides_the_outcome_changes_the_key(make_job) -> None:
    job = make_job("image")
    flipped = job.target.y.copy()
    flipped[0] = (flipped[0] + 1) % 3
    shifted = replace(job.features, matrix=job.features.matrix + np.float16(1))
    found = [
        key(job),
        key(job, settings={"epochs": 5}),
        key(job, train=TRAIN[::-1]),
        key(job, test=TEST[:3]),
        key(job, readings=READINGS[:1]),
        key(replace(job, seed=1)),
        key(replace(job, weights=np.ones(48))),
        key(replace(job, target=Target("multiclass", flipped, job.target.classes))),
        key(replace(job, features=shifted)),
        key(replace(job, source=replace(job.source, fingerprint="0" * 64 + "1"))),
    ]
    assert len(set(found)) == len(found)
    assert key(make_job("image")) == found[0]


def test_labels_of_the_test_rows_change_nothing(make_job) -> None:
    job = make_job("image")
    unknown = job.target.y.copy()
    unknown[TEST] = 0
    assert key(job) == key(replace(job, target=Target("multiclass", unknown, job.target.classes)))


def test_a_checkpoint_comes_back(tmp_path) -> None:
    shelf = Shelf(tmp_path / "kept", "k" * 64)
    assert shelf.resume() is None
    arrays = {"body/stem.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(7)}
    shelf.keep(arrays, {"epoch": 3, "notes": ["said"]})
    kept = Shelf(tmp_path / "kept", "k" * 64).resume()
    assert kept.fields == {"epoch": 3, "notes": ["said"]}
    for name, value in arrays.items():
        np.testing.assert_array_equal(kept.arrays[name], value)
        assert kept.arrays[name].shape == value.shape
    assert Shelf(tmp_path / "kept", "j" * 64).resume() is None


def test_what_is_damaged_counts_as_not_there(tmp_path) -> None:
    shelf = Shelf(tmp_path, "k" * 64)
    shelf.keep({"a": np.zeros(100)}, {})
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:50])
    assert shelf.resume() is None


def test_a_finished_training_is_known(make_job, tmp_path) -> None:
    job = make_job("image")
    tap = job.source.taps[-2]
    moved = Moved(
        {"stem.weight": np.ones((8, 3, 3, 3), np.float32)},
        (tap,),
        np.ones((3, 24), np.float32),
        np.zeros(3, np.float32),
    )
    learned = Learned((np.random.default_rng(0).standard_normal((8, 3)),), moved, ("a smaller batch",))
    shelf = Shelf(tmp_path, "k" * 64)
    assert shelf.finished(job) is None
    shelf.keep({"a": np.zeros(3)}, {})
    shelf.finish(learned)
    found = Shelf(tmp_path, "k" * 64).finished(job)
    np.testing.assert_array_equal(found.scores[0], learned.scores[0])
    np.testing.assert_array_equal(found.moved.weights["stem.weight"], moved.weights["stem.weight"])
    assert (found.moved.taps, found.notes) == ((tap,), ("a smaller batch",))
    assert shelf.resume() is None  # the checkpoint is gone


def test_a_full_disk_is_remembered_and_does_not_end_the_training(tmp_path, limited) -> None:
    shelf = Shelf(tmp_path, "k" * 64)
    assert shelf.due

    with limited("RLIMIT_FSIZE", 1000):
        shelf.keep({"a": np.zeros(3000)}, {})
    assert shelf.trouble == os.strerror(errno.EFBIG)
    assert not shelf.due
    assert list(tmp_path.iterdir()) == []


def test_helpers_write_nothing(tmp_path) -> None:
    shelf = Shelf(tmp_path / "kept", "k" * 64, writes=False)
    assert not shelf.due
    shelf.keep({"a": np.zeros(3)}, {})
    assert not (tmp_path / "kept").exists()


def test_checkpoints_do_not_slow_a_training_down(tmp_path, monkeypatch) -> None:
    clock = iter(np.array([0.0, 10.0, 150.0, 209.0, 211.0]))
    monkeypatch.setattr("headstart.adapt.checkpoint.time.perf_counter", lambda: next(clock))
    shelf = Shelf(tmp_path, "k" * 64)
    shelf.keep({"a": np.zeros(3)}, {})  # from 0 to 10
    assert [shelf.due for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("name", ["resume", "result"])
def test_a_killed_write_leaves_the_older_file(tmp_path, monkeypatch, name) -> None:
    shelf = Shelf(tmp_path, "k" * 64)
    shelf.keep({"a": np.zeros(3)}, {"n": 1})
    monkeypatch.setattr("headstart.adapt.whole_file.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        shelf.keep({"a": np.ones(3)}, {"n": 2})
    assert shelf.resume().fields == {"n": 1}
