"""What goes wrong with recordings, through the command line: a named skip or one clear line, and never a traceback."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.cli.main import main
from headstart.workflow import FitOptions, fit
from headstart.workflow import gather as module

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16_000


def tone() -> np.ndarray:
    """(32_000,) two seconds."""
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


def coded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def ten_hours() -> bytes:
    """8-bit samples, 1,000 a second."""
    size = 36_000_000
    form = struct.pack("<IHHIIHH", 16, 1, 1, 1_000, 1_000, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size) + bytes(size)


BAD = {
    "empty.wav": (lambda: b"", "the file is empty"),
    "no header.wav": (lambda: coded(tone())[:20], "not a sound that can be read"),
    "cut.wav": (lambda: coded(tone())[:20_000], "truncated: 19,956 of 64,000 bytes"),
    "cut.flac": (lambda: coded(tone(), kind="FLAC")[:4_000], "the sound is damaged or incomplete (flac decoder"),
    "cut.mp3": (lambda: coded(tone(), kind="MP3")[:2_000], "truncated: "),
    "no samples.wav": (lambda: coded(tone()[:0]), "no samples"),
    "one sample.wav": (lambda: coded(tone()[5:6]), "a single sample"),
    "silent.wav": (lambda: coded(np.zeros(RATE, np.float32)), "silent: its 16,000 samples all have one value"),
    "nan.wav": (lambda: coded(np.full(RATE, np.nan, np.float32), subtype="FLOAT"), "samples that are no numbers"),
    "ten hours.wav": (ten_hours, "10.0 hours; at most 1 is read: cut the recording into clips"),
    "a letter.wav": (lambda: b"Dear Sir or Madam, " * 50, "not a sound that can be read"),
    "ходит 音.wav": (lambda: b"RIFF", "not a sound that can be read"),
}
GOOD = {
    "seven channels.wav": lambda: coded(np.stack([tone() * k / 7 for k in range(1, 8)], axis=1)),
    "an mp3.wav": lambda: coded(tone(), kind="MP3"),
    "48 kHz.flac": lambda: coded(tone(), rate=48_000, kind="FLAC"),
    "8 bit.wav": lambda: coded(tone(), rate=11_025, subtype="PCM_U8"),
    "дятел 啄木鸟 #1.ogg": lambda: coded(tone(), kind="OGG"),
}


@pytest.fixture(scope="module")
def mixed(glides, tmp_path_factory) -> Path:
    """The glides, and in the folder of one class every file of BAD and of GOOD."""
    folder = shutil.copytree(glides, tmp_path_factory.mktemp("mixed") / "clips")
    for name, make in {**{name: make for name, (make, _) in BAD.items()}, **GOOD}.items():
        (folder / "up" / name).write_bytes(make())
    return folder


@pytest.fixture(scope="module")
def fitted(mixed, ears, tmp_path_factory):
    """(model, report) of a fit on the mixed folder."""
    out = tmp_path_factory.mktemp("out") / "m.headstart"
    made = fit(mixed, FitOptions(out=out, sources=(str(ears),), strategies=("frozen-ridge",)))
    return out, made.report


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_a_named_skip(fitted, name):
    reasons = {item["id"]: item["reason"] for item in fitted[1]["skipped"]}
    assert BAD[name][1] in reasons[f"up/{name}"]


def test_all_others_are_learned_from(fitted):
    report = fitted[1]
    assert len(report["skipped"]) == len(BAD)
    assert report["n"] == 40 + len(GOOD)
    (heard,) = [note for note in report["notes"] if note.startswith("ears hears 8,000 Hz")]
    counted = (
        "16 clips of 16,000 Hz, 13 clips of 22,050 Hz, 1 clip of 11,025 Hz and 1 clip of other rates are resampled"
    )
    assert counted in heard


@pytest.mark.parametrize("name", BAD)
def test_predict_alone_is_exit_code_2(fitted, mixed, capsys, name):
    code = main(["predict", str(fitted[0]), str(mixed / "up" / name), "--json"])
    captured = capsys.readouterr()
    assert code == 2
    (line,) = captured.out.splitlines()
    assert BAD[name][1] in json.loads(line)["error"]
    assert "Traceback" not in captured.err


def test_predict_goes_on_with_the_others(fitted, mixed, capsys):
    code = main(["predict", str(fitted[0]), *(str(mixed / "up" / name) for name in (*BAD, *GOOD)), "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert ["error" in line for line in lines] == [True] * len(BAD) + [False] * len(GOOD)
    assert all(line["label"] in ("up", "down") for line in lines[len(BAD) :])


@pytest.mark.parametrize("command", ["fit", "curve"])
def test_where_nothing_can_be_heard_one_line_says_why(command, ears, tmp_path, capsys):
    for kind in ("a", "b"):
        (tmp_path / "bad" / kind).mkdir(parents=True)
        for k, name in enumerate(("silent.wav", "nan.wav", "empty.wav")):
            (tmp_path / "bad" / kind / f"{k}.wav").write_bytes(BAD[name][0]())
    code = main([command, str(tmp_path / "bad"), "--source", str(ears), "--json"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    (line,) = [line for line in captured.err.splitlines() if "error" in line]
    assert "none of its 6 items can be read; a/0.wav: silent" in line


@pytest.mark.parametrize("absent", ["soundfile", "soxr"])
def test_an_absent_layer_is_named_before_a_source_is_opened(absent, glides, ears, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, absent, None)
    monkeypatch.setattr(module, "_open", lambda *_: pytest.fail("a source was opened"))
    code = main(["fit", str(glides), "--source", str(ears), "--out", str(tmp_path / "m.headstart"), "--json"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    (line,) = [line for line in captured.err.splitlines() if "error" in line]
    assert line.endswith(f"reading sounds needs {absent}, which is not installed: pip install 'headstart[audio]'")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs headstart[torch]")
def test_a_strategy_that_makes_no_sense_for_a_source_of_sounds_says_so(glides, ears, tmp_path, capsys):
    """One layer: there is no place to cut it at."""
    out = tmp_path / "m.headstart"
    asked = ["--strategy", "last-stages", "--strategy", "frozen-ridge"]
    code = main(["fit", str(glides), "--source", str(ears), "--out", str(out), "--json", *asked])
    captured = capsys.readouterr()
    assert code == 0
    line = "ears: last-stages not tried: the graph has no place to cut it at"
    assert line in captured.err
    assert line in json.loads(captured.out)["notes"]
    assert out.is_file()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(fitted, mixed, capsys, tmp_path):
    path = tmp_path / "locked.wav"
    path.write_bytes(coded(tone()))
    path.chmod(0)
    assert main(["predict", str(fitted[0]), str(path), "--json"]) == 2
    assert "ermission" in json.loads(capsys.readouterr().out)["error"]
