"""The container: same parts, same bytes; whole or not at all; and nothing hostile gets past it."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from headstart.archive import container as module
from headstart.archive.container import MANIFEST, open_archive, write_archive
from headstart.archive.names import goal
from headstart.errors import ArtefactError, StorageError

ARRAYS = {"coef": np.arange(6, dtype=np.float64).reshape(2, 3), "classes": np.array([1, 2], dtype=np.int64)}


def parts(tmp_path: Path) -> dict[str, bytes | Path]:
    graph = tmp_path / "g.onnx"
    graph.write_bytes(bytes(range(256)) * 5000)  # more than one chunk
    return {
        "report.json": json.dumps({"text": 'a "quoted" [bracket', "deep": [[{}]]}).encode(),
        "head.safetensors": save(ARRAYS),
        "view-0.onnx": graph,
        "note.txt": "é".encode(),
    }


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "m.headstart"
    write_archive(path, parts(tmp_path))
    return path


def test_what_is_written_is_read(written: Path, tmp_path: Path) -> None:
    given = parts(tmp_path)
    with open_archive(written) as archive:
        assert archive.names == tuple(sorted(given))
        assert archive.version == 1
        assert archive.json("report.json")["deep"] == [[{}]]
        assert archive.bytes("note.txt") == "é".encode()
        arrays = archive.arrays("head.safetensors")
        assert arrays.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array, strict=True)
        copy = archive.extract("view-0.onnx", tmp_path / "out")
    assert copy == tmp_path / "out" / "view-0.onnx"
    assert copy.read_bytes() == given["view-0.onnx"].read_bytes()  # type: ignore[union-attr]
    assert os.listdir(tmp_path / "out") == ["view-0.onnx"]


def test_other_zip_programs_read_it(written: Path) -> None:
    with zipfile.ZipFile(written) as other:
        assert other.testzip() is None
        assert other.namelist() == ["head.safetensors", "note.txt", "report.json", "view-0.onnx", MANIFEST]
        manifest = json.loads(other.read(MANIFEST))
    assert manifest["format"] == "headstart"
    assert manifest["files"]["note.txt"]["bytes"] == 2


def test_same_parts_in_any_order_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.headstart"
    write_archive(again, dict(reversed(parts(tmp_path).items())))
    assert again.read_bytes() == written.read_bytes()


def test_permissions_follow_the_umask(written: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(written.stat().st_mode) == 0o666 & ~umask


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "m.headstart"
    write_archive(path, {"x.txt": b""})
    with open_archive(path) as archive:
        assert archive.bytes("x.txt") == b""


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.headstart")
    with pytest.raises(StorageError, match="neither a file nor free"):
        write_archive(tmp_path / "m.headstart", {"x.txt": b""})
    assert (tmp_path / "m.headstart").is_fifo()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".m2.headstart.28915.unchecked", "m2.headstart"),
        (".a.1.unchecked.28915.unchecked", "a.1.unchecked"),
        ("m2.headstart", "m2.headstart"),
        (".hidden.unchecked", ".hidden.unchecked"),
    ],
)
def test_a_message_names_the_goal(name: str, expected: str) -> None:
    assert goal(Path("x") / name) == Path("x") / expected


def test_a_full_disk_leaves_the_old_file_and_no_half_one(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, listing = written.read_bytes(), sorted(os.listdir(written.parent))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StorageError, match=r"m\.headstart cannot be written \(No space left on device\)") as caught:
        write_archive(written, {"x.txt": b"new"})
    assert "\n" not in str(caught.value)
    assert written.read_bytes() == before
    assert sorted(os.listdir(written.parent)) == listing


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_write_that_fails_midway_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": real(Path("/dev/full"), "r+b" if mode == "xb" else mode))
    with pytest.raises(StorageError, match="No space left"):
        write_archive(tmp_path / "m.headstart", {"x.txt": bytes(2**20)})


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_archive(tmp_path / "m.headstart", {"x.txt": b""})
    assert os.listdir(tmp_path) == []


def test_a_model_larger_than_the_format_is_refused_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**21)
    with pytest.raises(StorageError, match="at most 2 GiB"):
        write_archive(tmp_path / "m.headstart", {"x.txt": bytes(2**20), "y.txt": bytes(2**20)})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["../x.json", "/x.json", "a/../x.json", "a\\x.json", "C:x.json", "x.pkl", "x", ".x.json", "a//b.json", "x.json/",
     "x\0.json", "é.json", "x.json ", "", "a" * 200 + ".json", MANIFEST],
)  # fmt: skip
def test_names_that_are_not_plain_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtefactError):
        write_archive(tmp_path / "m.headstart", {name: b"{}"})
    assert os.listdir(tmp_path) == []


def refused(path: Path, reason: str) -> None:
    with pytest.raises(ArtefactError, match=reason) as caught:
        open_archive(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_file_a_folder_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent.headstart", "No such file.*that fit saved")
    refused(tmp_path, "is a folder")
    for content in (b"", b"PK", b"PK\x03\x04", b"not a model at all", b"PK\x05\x06" + bytes(18)):
        path = tmp_path / "x.headstart"
        path.write_bytes(content)
        refused(path, "not an intact model")


def manifest_for(given: dict[str, bytes], **changes: object) -> bytes:
    import hashlib

    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in given.items()}
    return json.dumps({"format": "headstart", "version": 1, "files": files, **changes}).encode()


def build(path: Path, given: dict[str, bytes], manifest: bytes | None = None, **info: object) -> Path:
    """The container by Python's own zip writer; `info` changes the first member's header."""
    with zipfile.ZipFile(path, "w") as out:
        for position, (name, data) in enumerate(given.items()):
            entry = zipfile.ZipInfo(name)
            for key, value in (info if position == 0 else {}).items():
                setattr(entry, key, value)
            out.writestr(entry, data)
        out.writestr(MANIFEST, manifest_for(given) if manifest is None else manifest)
    return path


GIVEN = {"a.json": b'{"a": 1}', "b.txt": b"hello"}


def test_the_reference_writer_is_read_so_the_refusals_below_are_for_their_reason(tmp_path: Path) -> None:
    with open_archive(build(tmp_path / "m.headstart", GIVEN)) as archive:
        assert archive.json("a.json") == {"a": 1}


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"external_attr": (stat.S_IFLNK | 0o777) << 16}, "not a plain file"),
        ({"external_attr": (stat.S_IFIFO | 0o644) << 16}, "not a plain file"),
        ({"external_attr": (stat.S_IFREG | 0o4755) << 16}, "not a plain file"),
        ({"external_attr": 0x10}, "not a plain file"),
        ({"compress_type": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"comment": b"x"}, "extensions"),
        ({"extra": b"\x01\x00\x04\x00abcd"}, "extensions"),
    ],
)
def test_odd_entries_are_refused(tmp_path: Path, info: dict[str, object], reason: str) -> None:
    refused(build(tmp_path / "m.headstart", GIVEN, **info), reason)


@pytest.mark.parametrize(
    "name", ["../a.json", "/etc/a.json", "a\\b.json", "C:a.json", "a.pkl", "a.py", "é.json", "a/./b.json", "x" * 201]
)
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    refused(build(tmp_path / "m.headstart", {name: b"{}"}), "relative path|belong|directory is damaged|extensions")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.json", "A.json"])
def test_the_same_name_twice_is_refused(tmp_path: Path, second: str) -> None:
    path = tmp_path / "m.headstart"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.json", b"1")
        out.writestr(second, b"2")
    refused(path, "twice")


def test_too_many_parts_are_refused(tmp_path: Path) -> None:
    refused(build(tmp_path / "m.headstart", {f"{k}.txt": b"" for k in range(64)}), "65 parts")


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"[]", "format"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (manifest_for(GIVEN, format="other"), "format"),
        (manifest_for(GIVEN, version=2), "format 2.*pip install --upgrade headstart"),
        (manifest_for(GIVEN, version=10**4000), r"format 1\d{11} and"),
        (manifest_for(GIVEN, version=0), "damaged"),
        (manifest_for(GIVEN, version=True), "damaged"),
        (manifest_for(GIVEN, version="1"), "damaged"),
        (manifest_for(GIVEN, files=[]), "damaged"),
        (manifest_for(GIVEN, files={"a.json": 1, "b.txt": {}}), "damaged"),
        (manifest_for({"a.json": GIVEN["a.json"]}), "not those its manifest names"),
        (manifest_for({**GIVEN, "c.txt": b""}), "not those its manifest names"),
        (manifest_for({**GIVEN, "b.txt": b"HELLO"}), "not those that were written"),
        (manifest_for({**GIVEN, "b.txt": b"hello!"}), "has 5 bytes, and 6"),
    ],
)
def test_manifests_that_do_not_fit_are_refused(tmp_path: Path, manifest: bytes, reason: str) -> None:
    refused(build(tmp_path / "m.headstart", GIVEN, manifest), reason)


def test_a_zip_without_manifest_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "m.headstart"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.json", b"1")
    refused(path, "headstart did not write it")


def edited(path: Path, edit: Callable[[bytearray], bytes | bytearray]) -> Path:
    path.write_bytes(edit(bytearray(path.read_bytes())))
    return path


def test_junk_before_after_and_a_comment_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.headstart"
    for edit in (
        lambda data: b"\0" + data,
        lambda data: data + b"\0",
        lambda data: data[:-1],
        lambda data: data[:-2] + b"\x01\x00x",
        lambda data: b"#!/bin/sh\n" + data,
    ):
        build(path, GIVEN)
        refused(edited(path, edit), "not an intact model")


def _directory(data: bytearray) -> int:
    return int(struct.unpack_from("<L", data, len(data) - 6)[0])


def test_overlapping_parts_are_refused(tmp_path: Path) -> None:
    """The second entry points at the first part's header: the trick of the quoted-overlap bomb."""
    path = build(tmp_path / "m.headstart", {"a.json": b"{}", "b.json": b"{}"})

    def overlap(data: bytearray) -> bytearray:
        second = data.index(b"PK\x01\x02", _directory(data) + 4)
        struct.pack_into("<L", data, second + 42, 0)
        return data

    refused(edited(path, overlap), "disagree")


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (8, b"\x01\x00", "encrypted"),
        (8, b"\x08\x00", "extensions"),
        (20, b"\xff\xff\xff\xff", "compressed"),
        (20, b"\xff\xff\xff\xff\xff\xff\xff\xff", "disagree"),
        (16, b"\0\0\0\0", "disagree"),
        (34, b"\x01\x00", "extensions"),
    ],
)
def test_directory_entries_that_lie_are_refused(tmp_path: Path, offset: int, value: bytes, reason: str) -> None:
    def lie(data: bytearray) -> bytearray:
        at = _directory(data) + offset
        data[at : at + len(value)] = value
        return data

    refused(edited(build(tmp_path / "m.headstart", GIVEN), lie), reason)


def test_zip64_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.headstart"
    with zipfile.ZipFile(path, "w") as out:
        with out.open(zipfile.ZipInfo("a.json"), "w", force_zip64=True) as member:
            member.write(b"{}")
        out.writestr(MANIFEST, manifest_for({"a.json": b"{}"}))
    refused(path, "extensions|disagree")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 65 + b"]" * 65, "nested more than 64"),
        (b'{"a":' * 70_000 + b"1" + b"}" * 70_000, "nested more than 64"),
        (b"1" * 5000, "not JSON"),
        ("1".encode("utf-16"), "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_hostile_json_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    with (
        open_archive(build(tmp_path / "m.headstart", {"a.json": text})) as archive,
        pytest.raises(ArtefactError, match=reason),
    ):
        archive.json("a.json")


def test_brackets_in_strings_do_not_count_as_depth(tmp_path: Path) -> None:
    value = {'[\\"' * 100: "[" * 1000, "b": ["\\", '"[[']}
    with open_archive(build(tmp_path / "m.headstart", {"a.json": json.dumps(value).encode()})) as archive:
        assert archive.json("a.json") == value


def test_json_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build(tmp_path / "m.headstart", {"a.json": b" " * 2000 + b"1"})
    monkeypatch.setattr(module, "MAX_JSON_BYTES", 1000)
    with open_archive(path) as archive, pytest.raises(ArtefactError, match="more than 1,000 bytes"):
        archive.json("a.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}x", save(ARRAYS)[:-1], save(ARRAYS).replace(b"F64", b"F63")],
)
def test_what_is_not_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = build(tmp_path / "m.headstart", {"a.safetensors": content})
    with open_archive(path) as archive, pytest.raises(ArtefactError, match="safetensors"):
        archive.arrays("a.safetensors")


def test_a_part_that_is_not_there_is_named(written: Path, tmp_path: Path) -> None:
    with open_archive(written) as archive:
        for read in (archive.bytes, archive.json, archive.arrays):
            with pytest.raises(ArtefactError, match=r"no part 'absent\.json'"):
                read("absent.json")
        with pytest.raises(ArtefactError, match="no part"):
            archive.extract("../evil", tmp_path / "out")
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == []
    assert not (tmp_path / "evil").exists()


def test_a_file_that_changes_after_opening_is_noticed(written: Path, tmp_path: Path) -> None:
    with open_archive(written) as archive:
        edited(written, lambda data: data.replace("é".encode(), b"??"))
        with pytest.raises(ArtefactError, match="not those that were written"):
            archive.extract("note.txt", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []
