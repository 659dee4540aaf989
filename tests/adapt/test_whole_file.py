"""A file is there whole or not at all, as others may read it, and what goes wrong is told without a path."""

from __future__ import annotations

import errno
import os
import sys
import threading

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from headstart.adapt.whole_file import refusal, save_whole
from headstart.errors import StorageError
from headstart.features.bound import is_half_written


def test_arrays_and_metadata_come_back(tmp_path) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    save_whole({"a": np.arange(6.0).reshape(2, 3)}, path, {"of": "x"})
    with safe_open(str(path), framework="numpy") as file:
        assert file.metadata() == {"of": "x"}
        np.testing.assert_array_equal(file.get_tensor("a"), np.arange(6.0).reshape(2, 3))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_others_may_read_it_as_the_users_mask_says(tmp_path, mask, mode) -> None:
    before = os.umask(mask)
    try:
        save_whole({"a": np.zeros(3)}, tmp_path / "a.safetensors", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode


def test_the_disk_has_the_content_before_the_name(tmp_path, monkeypatch) -> None:
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append(os.fstat(file).st_ino), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("named"), replace(a, b)))
    save_whole({"a": np.zeros(3)}, tmp_path / "a.safetensors", {})
    assert calls == [(tmp_path / "a.safetensors").stat().st_ino, "named"]


def test_while_it_is_written_it_is_known_for_half_written(tmp_path) -> None:
    """By every name that ever lies in the folder, that of safetensors among them."""
    path, seen, done = tmp_path / "a.safetensors", set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.update(tmp_path.iterdir())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        for _ in range(10):
            save_whole({"a": np.zeros(1_000_000)}, path, {})
    finally:
        done.set()
        watching.join()
    assert len(seen) > 1
    assert [one for one in seen if not is_half_written(one)] == [path]


@pytest.mark.parametrize(("limit", "most", "code"), [("FSIZE", 100, errno.EFBIG), ("NOFILE", 0, errno.EMFILE)])
def test_what_the_system_refuses_is_told_without_a_path(tmp_path, limited, limit, most, code) -> None:
    path = tmp_path / "a.safetensors"
    save_whole({"a": np.zeros(2)}, path, {})
    whole = path.read_bytes()
    with limited(f"RLIMIT_{limit}", most), pytest.raises(StorageError) as refused:
        save_whole({"a": np.zeros(1000)}, path, {})
    assert str(refused.value) == os.strerror(code)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == whole


def test_a_file_where_the_folder_should_be(tmp_path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(StorageError) as refused:
        save_whole({"a": np.zeros(2)}, tmp_path / "x" / "a.safetensors", {})
    assert str(refused.value) in (os.strerror(errno.EEXIST), os.strerror(errno.ENOTDIR))


def test_what_safetensors_says_is_cut_to_the_systems_words(tmp_path) -> None:
    with pytest.raises(SafetensorError, match="nowhere") as raised:
        save_file({"a": np.zeros(2)}, tmp_path / "nowhere" / "a.safetensors")
    assert refusal(raised.value) == os.strerror(errno.ENOENT)
