"""Rows on disk: found again by anyone, whole or not there, within their bound."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from headstart.adapt import activations
from headstart.adapt.activations import Activations, clear, item_keys, usage
from headstart.errors import StorageError
from headstart.features.bound import activations_dir
from headstart.features.cache import Space, open_cache

KEYS = [bytes([i]) * 32 for i in range(6)]
ROWS = np.random.default_rng(0).standard_normal((6, 4, 5)).astype(np.float16)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADSTART_CACHE_BYTES", raising=False)
    return tmp_path / "home"


def segments() -> list:
    return sorted(activations_dir().glob("*/*.safetensors"))


def test_rows_come_back_in_the_order_asked_for() -> None:
    store = Activations("a source at a cut")
    assert store.missing(KEYS) == list(range(6))
    store.put(KEYS[:2], list(ROWS[:2]))
    store.put(KEYS[2:], list(ROWS[2:]))
    again = Activations("a source at a cut")
    assert again.missing(KEYS) == []
    for row, wanted in zip(again.take([KEYS[i] for i in (5, 0, 3)]), ROWS[[5, 0, 3]], strict=True):
        np.testing.assert_array_equal(row, wanted)
    assert isinstance(again.take(KEYS[:1])[0], np.memmap)
    assert Activations("another cut").missing(KEYS) == list(range(6))


def test_texts_of_several_lengths_lie_end_to_end() -> None:
    rows = [ROWS[0][:n] for n in (3, 1, 4)]
    Activations("texts").put(KEYS[:3], rows)
    for row, wanted in zip(Activations("texts").take(KEYS[:3]), rows, strict=True):
        np.testing.assert_array_equal(row, wanted)


def test_what_another_process_writes_meanwhile_is_found() -> None:
    mine, theirs = Activations("shared"), Activations("shared")
    theirs.put(KEYS[:3], list(ROWS[:3]))
    assert mine.missing(KEYS[:4]) == [3]
    np.testing.assert_array_equal(mine.take(KEYS[:1])[0], ROWS[0])


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b[:-7], lambda b: b"\xff" * 16 + b[16:], lambda b: b""])
def test_damaged_segments_count_as_not_there(damage) -> None:
    Activations("a").put(KEYS, list(ROWS))
    (path,) = segments()
    path.write_bytes(damage(path.read_bytes()))
    store = Activations("a")
    assert store.missing(KEYS) == list(range(6))
    store.put(KEYS, list(ROWS))
    assert Activations("a").missing(KEYS) == []


_WRITER = """
import sys, numpy as np
from headstart.adapt.activations import Activations
store = Activations("killed")
print("ready", flush=True)
for i in range(100_000):
    store.put([i.to_bytes(32, "big")], [np.full((64, 64), i % 1000, np.float16)])
"""


def test_after_a_kill_every_segment_is_whole(home) -> None:
    env = {**os.environ, "HEADSTART_HOME": str(home)}
    with subprocess.Popen([sys.executable, "-c", _WRITER], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        while len(segments()) < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    store = Activations("killed")
    there = [i for i in range(len(segments()) + 5) if not store.missing([i.to_bytes(32, "big")])]
    assert len(there) >= 20
    for i in there:
        (row,) = store.take([i.to_bytes(32, "big")])
        assert (row == i % 1000).all()


def test_half_written_files_of_the_dead_are_swept(home) -> None:
    Activations("a").put(KEYS[:1], [ROWS[0]])
    names = ("a.part", ".tmpAbCdEf")  # ours, and that of safetensors
    dead, living = ([activations_dir() / folder / name for name in names] for folder in ("dead", "living"))
    for path in (*dead, *living):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    for path in dead:
        os.utime(path, (0, 0))
    Activations("a").put(KEYS[1:2], [ROWS[1]])
    assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in living)


def test_past_the_bound_what_was_not_used_for_longest_goes(monkeypatch) -> None:
    old, used = Activations("old"), Activations("used")
    big = np.zeros((1, 100_000), np.float16)
    old.put(KEYS[:1], [big])
    used.put(KEYS[1:2], [big])
    for path in segments():
        os.utime(path, (1, 1))
    Activations("used").missing(KEYS[1:2])  # touches it
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "550000")
    Activations("new").put(KEYS[2:3], [big])
    assert Activations("old").missing(KEYS[:1]) == [0]
    assert Activations("used").missing(KEYS[1:2]) == []
    assert usage().bytes < 550_000


def test_what_the_disk_does_not_take_stays_in_memory_up_to_a_bound(monkeypatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "0")
    store = Activations("off")
    store.put(KEYS[:2], list(ROWS[:2]))
    assert store.trouble == "HEADSTART_CACHE_BYTES is 0"
    np.testing.assert_array_equal(store.take(KEYS[1:2])[0], ROWS[1])
    assert segments() == []
    monkeypatch.setattr(activations, "_MOST_HELD", 100)
    with pytest.raises(StorageError, match="raise HEADSTART_CACHE_BYTES"):
        store.put(KEYS[2:], list(ROWS[2:]))


@pytest.mark.parametrize(("limit", "most", "code"), [("FSIZE", 100, errno.EFBIG), ("NOFILE", 0, errno.EMFILE)])
def test_a_full_disk_is_told_and_leaves_nothing_behind(limited, limit, most, code) -> None:
    Activations("full").put(KEYS[:1], [ROWS[0]])  # its folder is there, and what writes is imported
    clear()
    store = Activations("full")
    with limited(f"RLIMIT_{limit}", most):
        store.put(KEYS, list(ROWS))
    assert store.trouble == os.strerror(code)  # no path, and no random name
    np.testing.assert_array_equal(store.take(KEYS[:1])[0], ROWS[0])
    assert list(activations_dir().glob("*/*")) == []


def test_keys_are_those_of_content_and_view() -> None:
    rows = np.arange(12, dtype=np.float16).reshape(3, 4)
    keys = item_keys(rows, 0, [0, 1, 2]) + item_keys(rows, 1, [0])
    assert len(set(keys)) == 4
    assert item_keys(rows[::-1], 0, [2]) == keys[:1]


def test_room_is_made_among_features_too(monkeypatch) -> None:
    with open_cache(Space("a", "a", 2000, "float16")) as opened:
        opened.put_many(KEYS, np.ones((6, 2000), np.float16))
    (features,) = activations_dir().parent.glob("features/*.sqlite")
    with sqlite3.connect(features) as db:
        db.execute("UPDATE keys SET used = 1000")
    db.close()
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", str(features.stat().st_size + 100_000))
    store = Activations("new")
    store.put(KEYS[:1], [np.zeros((1, 55_000), np.float16)])
    assert store.trouble == ""
    with open_cache(Space("a", "a", 2000, "float16")) as opened:
        assert opened.get_many(KEYS, np.empty((6, 2000), np.float16)).sum() < 6


def test_clearing() -> None:
    Activations("a").put(KEYS, list(ROWS))
    Activations("b").put(KEYS[:1], list(ROWS[:1]))
    found = usage()
    assert (found.spaces, found.segments) == (2, 2)
    assert found.bytes > ROWS.nbytes
    assert abs(found.last_used - time.time()) < 60
    assert clear() == found.bytes
    assert (usage().segments, usage().last_used) == (0, 0.0)


def test_clearing_while_a_training_reads_and_writes() -> None:
    store = Activations("a")
    store.put(KEYS, list(ROWS))
    half = next(activations_dir().glob("*")) / "half.part"
    half.write_bytes(b"another process writes this and renames it in a moment")
    clear()
    assert half.exists()
    np.testing.assert_array_equal(store.take(KEYS[2:3])[0], ROWS[2])
    store.put([b"x" * 32], list(ROWS[:1]))
    assert store.trouble == ""
    assert Activations("a").missing([b"x" * 32]) == []
