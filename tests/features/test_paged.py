"""Arrays in a file: the same numbers as in memory, and memory only where they are in use."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart import paths
from headstart.features import paged
from headstart.features.blocks import Features
from headstart.sources.base import Tap

TAPS = (Tap("a.mean", 0, "mean", 3), Tap("b.mean", 1, "mean", 5), Tap("c.mean", 2, "mean", 4))


@pytest.fixture(autouse=True)
def small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paged, "LARGE", 1000)
    monkeypatch.setattr(paged, "STEP", 7 * 24)


@pytest.fixture
def both() -> tuple[Features, Features]:
    """The same numbers in memory and in a file."""
    plain = np.random.default_rng(0).normal(size=(100, 12)).astype(np.float16)
    array = paged.zeros(100, 12, np.float16)
    array[:] = plain
    paged.give_back(array)
    described = np.arange(100, dtype=np.float16)[:, None]
    return (
        Features(TAPS, plain, {3: "damaged"}, described=described),
        Features(TAPS, array, {3: "damaged"}, described=described),
    )


def test_large_arrays_lie_in_a_file_without_a_name() -> None:
    assert not paged.in_file(paged.zeros(10, 12, np.float16))
    array = paged.zeros(100, 12, np.float16)
    assert paged.in_file(array)
    assert paged.in_file(array[5:, 2:4].T)
    assert not array.any()
    assert list(paths.features_dir().iterdir()) == []


@pytest.mark.parametrize("taps", [TAPS, TAPS[1:], TAPS[:1], (TAPS[2], TAPS[0])])
@pytest.mark.parametrize("rows", [None, np.arange(0, 100, 3), np.array([99, 0, 50]), np.array([], np.int64)])
def test_select_is_the_same(both: tuple[Features, Features], taps: tuple[Tap, ...], rows: np.ndarray | None) -> None:
    plain, filed = both
    got = filed.select(taps, rows)
    np.testing.assert_array_equal(got, plain.select(taps, rows))
    assert not paged.in_file(got)


@pytest.mark.parametrize("rows", [np.arange(100), np.arange(3, 100, 2), np.array([0, 98, 99])])
def test_take_is_the_same(both: tuple[Features, Features], rows: np.ndarray) -> None:
    plain, filed = both
    expected, got = plain.take(rows), filed.take(rows)
    np.testing.assert_array_equal(got.matrix, plain.matrix[rows])
    np.testing.assert_array_equal(expected.matrix, plain.matrix[rows])
    np.testing.assert_array_equal(got.described, plain.described[rows])
    assert got.failures == expected.failures == ({int(np.flatnonzero(rows == 3)[0]): "damaged"} if 3 in rows else {})
    assert (paged.in_file(got.matrix), got.held_bytes, expected.held_bytes) == (True, 0, 24 * len(rows))


def test_a_full_disk_means_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    array = paged.zeros(100, 12, np.float16)
    assert not paged.in_file(array)
    paged.give_back(array)
    assert replace(Features(TAPS, array)).held_bytes == array.nbytes


RESIDENT = """
from headstart.features import paged
import numpy as np

def resident():
    return next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith("VmRSS"))

array = paged.zeros(60_000, 2_000, np.float16)  # 240 MB
before = resident()
array[:] = 1
full = resident()
paged.give_back(array)
print(full - before, resident() - before, float(array[::1000, 0].sum()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
def test_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    full, left, total = map(float, done.stdout.split())
    assert full > 200
    assert left < 10
    assert total == 60
