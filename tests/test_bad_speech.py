"""What goes wrong with transcribed speech, through the command line: the files of `test_bad_sounds`, and texts."""

from __future__ import annotations

import importlib.util
import json
import unicodedata
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from headstart.cli.main import main
from headstart.sources.base import TrainedOn
from headstart.speech.artefact import write

for _module in ("ctranslate2", "soundfile", "soxr", "jiwer", "whisper_normalizer"):
    pytest.importorskip(_module)


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"beside_{Path(name).stem}", Path(__file__).parent / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sounds = _beside("test_bad_sounds.py")
fixtures = _beside("speech/conftest.py")
RATES = (8_000, 11_025, 16_000, 44_100, 48_000)
TEXTS = {
    "decomposed.wav": unicodedata.normalize("NFD", "Où est l’été ?"),
    "marks.wav": "\u202eright to left\u202c, \u200fzero\u200bwidth",
    "emoji.wav": "yes 🙂 ½ ﬁne №1",
    "scripts.wav": "да 你好 नमस्ते שלום",
    "special.wav": "<|endoftext|> is what it said",
}
UNSPOKEN = {
    "no text.wav": ("", "empty transcript"),
    "blank.wav": (" \u200b\t", "empty transcript"),
    "dots.wav": ("…—?!", "no letter and no digit"),
    "noise.wav": ("[laughter]", "a note in brackets"),
    "damaged.wav": ("on\ufffde", "wrong encoding"),
    "long text.wav": ("word " * 100, "cut it into sentences"),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recogniser as a file."""
    path = tmp_path_factory.mktemp("source") / "small.headstart"
    card = {"name": "small", "strategy": "untouched", "language": "en", "beam": 2, "seed": 0, "versions": {}}
    write(path, fixtures.make_checkpoint(), {**card, "data": TrainedOn("none", 1, 0)}, {})
    return path


def listed(folder: Path, rows: dict[str, str]) -> Path:
    table = folder / "calls.jsonl"
    lines = [json.dumps({"path": path, "text": text}) for path, text in rows.items()]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


@pytest.fixture(scope="module")
def fitted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, Path]:
    """(model, report, folder) of a fit on tones of mixed rates, every odd file, and odd texts."""
    folder = tmp_path_factory.mktemp("calls")
    rows = {}
    for k, rate in enumerate(RATES):
        tone = (0.3 * np.sin(2 * np.pi * (300 + 100 * k) * np.arange(rate) / rate)).astype(np.float32)
        (folder / f"{rate}.wav").write_bytes(sounds.coded(tone, rate=rate))
        rows[f"{rate}.wav"] = "yes"
    for name, make in {**{name: make for name, (make, _) in sounds.BAD.items()}, **sounds.GOOD}.items():
        (folder / name).write_bytes(make())
        rows[name] = "yes"
    for k, (name, text) in enumerate({**TEXTS, **{name: text for name, (text, _) in UNSPOKEN.items()}}.items()):
        (folder / name).write_bytes(sounds.coded(sounds.tone()[k:]))
        rows[name] = text
    rows["lost.wav"] = "a transcript without a recording"
    (folder / "untold.wav").write_bytes(sounds.coded(sounds.tone()[99:]))
    out = folder / "m.headstart"
    given = ["fit", str(listed(folder, rows)), "--task", "transcribe", "--language", "en", "--source", str(source)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_HOME", str(tmp_path_factory.mktemp("home")))
        assert main([*given, "--out", str(out), "--budget", "0.001s", "--json"]) == 0
    from headstart.speech.artefact import read

    return out, read(out).report, folder


def reasons(report: dict) -> dict[str, str]:
    return {item["id"]: item["reason"] for item in report["skipped"]}


@pytest.mark.parametrize("name", sounds.BAD)
def test_a_bad_recording_is_a_named_skip(fitted: tuple[Path, dict, Path], name: str) -> None:
    assert sounds.BAD[name][1] in reasons(fitted[1])[name]


@pytest.mark.parametrize("name", UNSPOKEN)
def test_a_text_that_nobody_says_is_a_named_skip(fitted: tuple[Path, dict, Path], name: str) -> None:
    assert UNSPOKEN[name][1] in reasons(fitted[1])[name]


def test_texts_without_recordings_and_recordings_without_texts_are_named(fitted: tuple[Path, dict, Path]) -> None:
    found = reasons(fitted[1])
    assert "no such file" in found["lost.wav"]
    assert found["untold.wav"] == "no transcript"


def test_all_others_are_heard(fitted: tuple[Path, dict, Path]) -> None:
    report = fitted[1]
    assert len(report["skipped"]) == len(sounds.BAD) + len(UNSPOKEN) + 2
    assert report["n"] == len(RATES) + len(sounds.GOOD) + len(TEXTS)
    assert any("characters that are not seen" in note for note in report["notes"])
    (heard,) = [note for note in report["notes"] if "hears 16,000 Hz" in note]
    counted = "2 clips of 11,025 Hz, 2 clips of 48,000 Hz, 1 clip of 8,000 Hz and 1 clip of other rates are resampled"
    assert heard.endswith(counted)


@pytest.mark.parametrize("name", sounds.BAD)
def test_predict_alone_is_exit_code_2(
    fitted: tuple[Path, dict, Path], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code = main(["predict", str(fitted[0]), str(fitted[2] / name), "--json"])
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert code == 2
    assert sounds.BAD[name][1] in json.loads(line)["error"]
    assert "Traceback" not in captured.err


def test_predict_goes_on_with_the_others(fitted: tuple[Path, dict, Path], capsys: pytest.CaptureFixture[str]) -> None:
    names = [*sounds.BAD, *sounds.GOOD]
    code = main(["predict", str(fitted[0]), *(str(fitted[2] / name) for name in names), "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert ["error" in line for line in lines] == [True] * len(sounds.BAD) + [False] * len(sounds.GOOD)
    assert all(isinstance(line["text"], str) for line in lines[len(sounds.BAD) :])


def test_evaluate_names_what_it_left_out(fitted: tuple[Path, dict, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(fitted[0]), str(fitted[2] / "calls.jsonl"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {*sounds.BAD, "lost.wav", "untold.wav", "dots.wav"} <= set(reasons(found))


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_where_nothing_can_be_heard_one_line_says_why(
    fitted: tuple[Path, dict, Path], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for name in ("silent.wav", "nan.wav", "empty.wav"):
        (tmp_path / name).write_bytes(sounds.BAD[name][0]())
    table = listed(tmp_path, dict.fromkeys(("silent.wav", "nan.wav", "empty.wav"), "yes"))
    given = [str(table), "--task", "transcribe", "--language", "en", "--source", str(source)]
    code = main([command, *(given if command == "fit" else [str(fitted[0]), str(table)]), "--json"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    (line,) = [line for line in captured.err.splitlines() if "error" in line]
    assert "none of" in line
    assert "silent" in line or "empty" in line
