"""One bound for features, activations and trainings: what was not used for longest goes first, whatever its kind."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from headstart import paths
from headstart.errors import OptionError
from headstart.features import bound
from headstart.features.bound import activations_dir, budget, held, make_room
from headstart.features.cache import Space, open_cache
from headstart.features.spaces import usage

DAY = 86_400.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADSTART_CACHE_BYTES", raising=False)
    return tmp_path / "home"


def file(path: Path, size: int, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def segment(name: str, size: int, age: float) -> Path:
    return file(activations_dir() / "space" / f"{name}.safetensors", size, age)


def training(name: str, size: int, age: float) -> Path:
    return file(paths.trainings_dir() / name / "k.result.safetensors", size, age)


def features(rows: int, age: float, name: str = "a", cost: int = 0) -> None:
    space = Space(name, name, 2000, "float16", cost)
    keys = [i.to_bytes(32, "big") for i in range(rows)]
    with open_cache(space) as opened:
        opened.put_many(keys, np.ones((rows, 2000), np.float16))
    with sqlite3.connect(paths.features_dir() / f"{space.name}.sqlite") as db:
        db.execute("UPDATE keys SET used = ?", (int(time.time() - age),))
    db.close()


def items(*names: str) -> int:
    return sum(one.items for one in usage() if not names or one.source in names)


def test_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < budget() <= bound.DEFAULT_BYTES
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "1e9")
    with pytest.raises(OptionError, match="HEADSTART_CACHE_BYTES is '1e9'; expected a whole number"):
        budget()
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "0")
    assert not open_cache(Space("a", "a", 8, "float16")).active
    assert not paths.features_dir().exists()


def test_all_kinds_count() -> None:
    assert held() == 0
    segment("a", 1000, DAY)
    training("b", 500, DAY)
    assert held() == 1500
    features(10, DAY)
    assert held() == 1500 + usage()[0].bytes


def test_the_oldest_goes_first_whatever_its_kind() -> None:
    oldest = training("oldest", 400_000, 5 * DAY)
    features(100, 4 * DAY)
    old, new = segment("old", 400_000, 3 * DAY), training("new", 400_000, 2 * DAY)
    total = held()
    assert make_room(limit=total)
    assert make_room(limit=total - 1)
    assert not oldest.exists()
    assert items() == 100
    assert make_room(limit=held() - 1)
    assert items() < 100
    assert old.exists()
    assert make_room(400_000, limit=1_050_000)
    assert items() == 0
    assert not old.exists()
    assert new.exists()


def test_of_one_hour_activations_go_before_features_and_those_before_trainings() -> None:
    at = 2 * DAY + 1800
    last = training("t", 100_000, at + 60)
    features(25, at)
    first = segment("s", 100_000, at - 60)
    assert make_room(limit=held() - 1)
    assert not first.exists()
    assert items() == 25
    assert make_room(limit=held() - 1)
    assert items() < 25
    assert last.exists()


def test_of_one_hour_the_cheapest_features_go_first() -> None:
    """Names that come first in the alphabet are the dearest; what is cheap was used some minutes later."""
    at = 2 * DAY + 1800
    features(100, at, "a source", cost=1000)
    features(100, at, "large source", cost=9000)
    features(100, at - 300, "no transfer")
    limit = int(0.95 * held())
    assert make_room(limit=limit)
    assert 0 < items("no transfer") < 100
    assert items("a source", "large source") == 200
    assert make_room(limit=int(0.6 * limit))
    assert items("no transfer") == 0
    assert 0 < items("a source") < 100
    assert items("large source") == 100


def test_across_hours_age_counts_before_cost() -> None:
    features(100, 3 * DAY, "dear", cost=1000)
    features(100, 2 * DAY, "cheap")
    assert make_room(limit=int(0.95 * held()))
    assert items("dear") < 100
    assert items("cheap") == 100


def test_what_is_spared_and_what_may_be_in_use_stays() -> None:
    kept, mapped = training("kept", 1000, 9 * DAY), segment("mapped", 1000, 9 * DAY)
    running = training("running", 1000, 60)
    assert not make_room(limit=10, spare={kept.parent, mapped}.__contains__)
    assert kept.exists()
    assert mapped.exists()
    assert running.exists()
    assert not make_room(limit=10)
    assert not kept.parent.exists()
    assert not mapped.exists()
    assert running.exists()


def test_what_is_being_written_stays_while_the_rest_is_cleared() -> None:
    """Under our name, and under the one that safetensors has until it is done."""
    done, old = training("t", 100, 60), training("t", 100, 60).with_name(".tmpOlD123")
    ours, theirs = done.with_name("k.1.part"), done.with_name(".tmpAbCdEf")
    for path, age in ((ours, 0), (theirs, 0), (old, DAY)):
        file(path, 100, age)
    (piece,) = bound.training_pieces()
    assert piece.drop(piece.bytes) == 200
    assert [path.exists() for path in (done, old, ours, theirs)] == [False, False, True, True]


def test_turned_off_it_removes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = segment("s", 1000, 9 * DAY)
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "0")
    assert not make_room(1)
    assert there.exists()


def test_writing_features_makes_other_kinds_go(monkeypatch: pytest.MonkeyPatch) -> None:
    old = segment("old", 900_000, DAY)
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "1000000")
    features(100, 0)
    assert not old.exists()
    assert items() == 100
