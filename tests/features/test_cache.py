"""The cache keeps what it was given, and nothing that happens to its files ends a run."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import paths
from headstart.errors import OptionError
from headstart.features import cache
from headstart.features.bound import make_room
from headstart.features.cache import FeatureCache, Space, open_cache
from headstart.features.spaces import clear, usage
from headstart.features.store import Store

SPACE = Space("timm/tiny", "abc v1 fp32", 8, "float16")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADSTART_CACHE_BYTES", raising=False)
    return tmp_path / "home"


def key(i: int) -> bytes:
    return hashlib.sha256(str(i).encode()).digest()


def row(i: int, width: int = 8) -> np.ndarray:
    return np.random.default_rng(i).normal(size=width).astype(np.float16)


def rows(numbers: Any, width: int = 8) -> np.ndarray:
    return np.stack([row(i, width) for i in numbers])


def known(opened: FeatureCache, numbers: list[int], width: int = 8) -> list[int]:
    """Which of the numbers are in the cache; their rows are checked."""
    out = np.zeros((len(numbers), width), np.float16)
    hits = opened.get_many([key(i) for i in numbers], out)
    for i, hit, found in zip(numbers, hits, out, strict=True):
        np.testing.assert_array_equal(found, row(i, width) if hit else np.zeros(width))
    return [i for i, hit in zip(numbers, hits, strict=True) if hit]


def fill(numbers: range, space: Space = SPACE) -> Path:
    with open_cache(space) as opened:
        opened.put_many([key(i) for i in numbers], rows(numbers, space.width))
    return paths.features_dir() / f"{space.name}.sqlite"


def test_what_is_put_is_got() -> None:
    fill(range(1200))
    with open_cache(SPACE) as opened:
        assert known(opened, list(range(0, 2400, 2))) == list(range(0, 1200, 2))
        out = np.zeros((3, 8), np.float16)
        assert list(opened.get_many([key(5), None, key(5)], out)) == [True, False, True]
        np.testing.assert_array_equal(out, [row(5), np.zeros(8), row(5)])
        assert not opened.get_many([], np.zeros((0, 8), np.float16)).size
        opened.put_many([], np.zeros((0, 8), np.float16))


def test_bytes_as_well() -> None:
    space = Space("thumbnails", "v1", 12, "uint8")
    with open_cache(space) as opened:
        opened.put_many([key(0)], np.arange(12, dtype=np.uint8)[None])
        out = np.zeros((1, 12), np.uint8)
        assert opened.get_many([key(0)], out).all()
    np.testing.assert_array_equal(out[0], np.arange(12))


def test_a_row_may_be_put_again() -> None:
    fill(range(10))
    with open_cache(SPACE) as opened:
        opened.put_many([key(3), key(99)], rows([4, 99]))
        out = np.zeros((1, 8), np.float16)
        opened.get_many([key(3)], out)
        np.testing.assert_array_equal(out[0], row(4))
    assert usage()[0].items == 11


def test_spaces_are_apart() -> None:
    fill(range(10))
    for other in (Space("timm/tiny", "abc v1 int8", 8, "float16"), Space("timm/tiny", "abc v1 fp32", 9, "float16")):
        with open_cache(other) as opened:
            assert known(opened, [1], other.width) == []


def test_rows_are_found_under_another_name() -> None:
    path = fill(range(10))
    renamed = Space("my/copy of it", SPACE.identity, 8, "float16")
    with open_cache(renamed) as opened:
        assert known(opened, [1]) == [1]
        opened.put_many([key(10)], rows([10]))
    assert list(paths.features_dir().glob("*.sqlite")) == [path]
    with open_cache(SPACE) as opened:
        assert known(opened, [10]) == [10]


def test_usage_and_clear() -> None:
    assert usage() == []
    assert clear() == 0
    fill(range(100))
    second = Space("minilm", "x", 400, "float16")
    fill(range(100), second)
    large, small = usage()
    assert (large.source, large.items, small.source, small.items) == ("minilm", 100, "timm/tiny", 100)
    assert large.space == second.name
    assert large.bytes > 100 * 400 * 2
    assert abs(large.last_used - time.time()) < 60
    assert clear(second.name) == large.bytes
    assert [one.source for one in usage()] == ["timm/tiny"]
    with pytest.raises(OptionError, match=f"no feature space 'other' .there are: {SPACE.name}"):
        clear("other")
    assert clear() == small.bytes
    assert list(paths.features_dir().iterdir()) == []


def test_clear_while_in_use() -> None:
    fill(range(100))
    with open_cache(SPACE) as opened:
        assert known(opened, [1]) == [1]
        clear()
        assert known(opened, [1]) == []
        opened.put_many([key(2)], rows([2]))
        assert known(opened, [1, 2]) == [2]


def _age(space: Space, numbers: range, used: int) -> None:
    with sqlite3.connect(paths.features_dir() / f"{space.name}.sqlite") as db:
        db.executemany("UPDATE keys SET used = ? WHERE key = ?", [(used, key(i)) for i in numbers])
    db.close()


def test_evict_takes_the_least_recently_used_rows_of_all_spaces() -> None:
    wide, other = Space("a", "a", 2000, "float16"), Space("b", "b", 2000, "float16")
    fill(range(200), wide)
    fill(range(200), other)
    _age(wide, range(100), 1000)
    _age(other, range(150), 2000)
    total = sum(one.bytes for one in usage())
    assert make_room(limit=total)
    assert sum(one.bytes for one in usage()) == total
    limit = int(total * 0.7)
    assert make_room(limit=limit)
    assert sum(one.bytes for one in usage()) <= limit
    with open_cache(wide) as opened:
        left = known(opened, list(range(200)), 2000)
    assert left == list(range(100, 200))
    with open_cache(other) as opened:
        left = known(opened, list(range(200)), 2000)
    assert set(range(150, 200)) <= set(left)
    assert 0 < len(left) < 150


def test_reading_makes_rows_recent() -> None:
    fill(range(10))
    _age(SPACE, range(10), 1000)
    with open_cache(SPACE) as opened:
        known(opened, [3])
    with Store(paths.features_dir() / f"{SPACE.name}.sqlite") as store:
        (old, count), (new, one) = store.ages()
    assert (old, count, one) == (1000, 9, 1)
    assert abs(new - time.time()) < 60


def test_the_bound_holds_while_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "1000000")
    monkeypatch.setattr(cache, "_CHECK_EVERY", 200_000)
    space = Space("a", "a", 2000, "float16")
    with open_cache(space) as opened:
        for start in range(0, 1000, 25):
            opened.put_many([key(i) for i in range(start, start + 25)], rows(range(start, start + 25), 2000))
            assert usage()[0].bytes < 1_600_000
    assert 0 < usage()[0].bytes <= 1_000_000


CHILD = """
    import hashlib, sys
    import numpy as np
    from headstart.features.cache import Space, open_cache
    with open_cache(Space("timm/tiny", "abc v1 fp32", 4000, "float16")) as cache:
        i = int(sys.argv[1])
        while True:
            keys = [hashlib.sha256(str(j).encode()).digest() for j in range(i, i + 5)]
            rows = [np.random.default_rng(j).normal(size=4000).astype(np.float16) for j in range(i, i + 5)]
            cache.put_many(keys, np.stack(rows))
            i += 5
            print(i, flush=True)
"""


def _child(start: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(start)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_kill_9_loses_nothing_that_was_put() -> None:
    wide = Space("timm/tiny", "abc v1 fp32", 4000, "float16")
    said: list[str] = []
    for attempt in range(3):
        child = _child(attempt * 100_000)
        assert child.stdout is not None
        last = 0
        for _ in range(8 + attempt):
            last = int(child.stdout.readline())
        child.kill()
        child.wait()
        child.stdout.close()
        with open_cache(wide, say=said.append) as opened:
            assert known(opened, list(range(attempt * 100_000, last)), 4000) == list(range(attempt * 100_000, last))
            opened.put_many([key(-1)], rows([1], 4000))
        with sqlite3.connect(paths.features_dir() / f"{wide.name}.sqlite") as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()
    assert said == []


def _write_many(start: int) -> list[str]:
    said: list[str] = []
    with open_cache(SPACE, say=said.append) as opened:
        for i in range(start, start + 200, 4):
            opened.put_many([key(j) for j in range(i, i + 4)], rows(range(i, i + 4)))
            known(opened, list(range(0, 400, 7)))
    return said


def test_several_processes_at_once() -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        # The ranges overlap: the same rows are written by two.
        assert pool.map(_write_many, [0, 100, 200]) == [[], [], []]
    with open_cache(SPACE) as opened:
        assert known(opened, list(range(400))) == list(range(400))
    assert usage()[0].items == 400


@pytest.mark.parametrize("damage", ["words", "header", "middle", "truncated"])
def test_a_damaged_file_is_begun_anew_or_its_rows_are_missed(damage: str) -> None:
    path = fill(range(500))
    data = bytearray(path.read_bytes())
    if damage == "words":
        data = bytearray(b"this is no database, whatever its name says" * 100)
    elif damage == "header":
        data[:100] = bytes(100)
    elif damage == "middle":
        data[4096 : len(data) - 4096] = np.random.default_rng(0).bytes(len(data) - 8192)
    else:
        data = data[: len(data) // 2]
    path.write_bytes(bytes(data))
    said: list[str] = []
    with open_cache(SPACE, say=said.append) as opened:
        left = known(opened, list(range(500)))  # rows that are got are right, however many
        assert len(left) < 500
        opened.put_many([key(i) for i in range(500, 600)], rows(range(500, 600)))
        assert known(opened, list(range(500, 600))) == list(range(500, 600))
        assert opened.active
    assert len(said) <= 2
    assert all("was damaged" in line for line in said)


def test_flipped_bits_inside_rows_are_misses() -> None:
    path = fill(range(500))
    data = bytearray(path.read_bytes())
    at = data.index(row(77).tobytes())
    data[at + 3] ^= 4
    path.write_bytes(bytes(data))
    with open_cache(SPACE) as opened:
        assert known(opened, list(range(500))) == [i for i in range(500) if i != 77]


@pytest.mark.parametrize("where", ["read", "write"])
def test_disk_errors_turn_it_off_with_one_line(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(range(10))

    def fail(*_: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, where, fail)
    said: list[str] = []
    with open_cache(SPACE, say=said.append) as opened:
        for _ in range(3):
            opened.put_many([key(20)], rows([20]))
            opened.get_many([key(1)], np.zeros((1, 8), np.float16))
        assert not opened.active
    (line,) = said
    assert line.startswith("feature cache off: database or disk is full")


def test_a_folder_that_cannot_be_made(home: Path) -> None:
    home.write_text("a file where the folder should be")
    said: list[str] = []
    with open_cache(SPACE, say=said.append) as opened:
        opened.put_many([key(1)], rows([1]))
        assert known(opened, [1]) == []
    assert len(said) == 1


def test_a_really_full_disk() -> None:
    """The file may not grow past a few pages: SQLite reports a full disk."""
    said: list[str] = []
    wide = Space("a", "a", 4000, "float16")
    with open_cache(wide, say=said.append) as opened:
        assert opened._store is not None
        opened._store._db.execute("PRAGMA max_page_count = 12")
        for i in range(40):
            opened.put_many([key(i)], rows([i], 4000))
        assert not opened.active
    assert len(said) == 1
    assert "full" in said[0]
