"""Speech to text end to end on real speech: Hebrew yes and no (ken, lo), eight words a clip, 8 kHz, one speaker."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from headstart.adapt.settings import Settings
from headstart.cli.main import main
from headstart.evidence.word_errors import count_errors
from headstart.speech import bundled

for _module in ("ctranslate2", "soundfile", "soxr", "jiwer", "whisper_normalizer"):
    pytest.importorskip(_module)
WAVES = Path(__file__).parents[1] / "../shared/data/yesno/waves_yesno"
HEBREW, LATIN = ("לא", "כן"), ("lo", "ken")

pytestmark = [pytest.mark.skipif(not WAVES.is_dir(), reason="yesno is not there"), pytest.mark.timeout(1200)]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not bundled.installed(name), reason=f"{name} is not installed")


def listed(path: Path, clips: list[Path], words: tuple[str, str]) -> Path:
    """A table of clips and what is said in them: their names, 0 for no and 1 for yes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "text"))
        rows.writerows((clip, " ".join(words[int(digit)] for digit in clip.stem.split("_"))) for clip in clips)
    return path


def fitted(table: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    out = table.with_suffix(".headstart")
    assert main(["fit", str(table), "--task", "transcribe", "--out", str(out), *options, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def predicted(model: Path, clips: list[Path], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["predict", str(model), *map(str, clips), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def rate(candidate: dict[str, Any]) -> float:
    return float(candidate["metrics"]["word_error_rate"]["value"])


def check(heard: dict[str, Any]) -> None:
    """Text with times within the recording, and a confidence."""
    times = [(part["start"], part["end"]) for part in heard["segments"]]
    assert times
    assert all(0 <= start < end <= heard["seconds"] for start, end in times)
    assert times == sorted(times)
    assert " ".join(part["text"] for part in heard["segments"]) == heard["text"]
    assert 0 < heard["confidence"] <= 1
    assert 4.9 <= heard["seconds"] <= 7


@needs("whisper_base")
def test_hebrew_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = sorted(WAVES.glob("*.wav"))[:3]
    table = listed(tmp_path / "calls.csv", clips, HEBREW)
    report = fitted(table, capsys, "--language", "he", "--source", "whisper_base")
    assert report["chosen"] == {"source": "whisper_base", "strategy": "untouched"}
    assert rate(report["baseline"]) < 0.5  # a recogniser that hears something else is far above 1
    heard = predicted(tmp_path / "calls.headstart", clips, capsys)
    for one in heard:
        check(one)
        assert one["language"] == "he"
        assert set(one["text"].replace(",", "").split()) & set(HEBREW)


@needs("whisper_tiny_en")
def test_an_english_recogniser_learns_two_words_of_hebrew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch", "accelerate", "peft"):
        pytest.importorskip(module)
    from headstart.speech.lora import Lora
    from headstart.speech.recipe import RECIPES, Recipe

    settings = Settings(epochs=2, batch=2, rate=2e-3, smoothing=0.0, bf16=False)
    monkeypatch.setitem(RECIPES, "lora", Recipe(settings, Lora()))
    *clips, new = sorted(WAVES.glob("*.wav"))[::4][:13]
    report = fitted(listed(tmp_path / "calls.csv", clips, LATIN), capsys, "--language", "en", "--strategy", "lora")
    untouched, tuned = map(rate, report["candidates"])
    assert untouched > 0.5  # "low" and "can" are what it hears
    assert tuned < 0.2
    assert report["chosen"]["strategy"] == "lora"
    (heard,) = predicted(tmp_path / "calls.headstart", [new], capsys)
    check(heard)
    said = " ".join(LATIN[int(digit)] for digit in new.stem.split("_"))
    assert count_errors([said], [heard["text"]], "en").word_error_rate < 0.5
