"""Fitting a recogniser, end to end, on clips of noise and a small recogniser with random weights."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError, EngineError, ItemError, OptionError
from headstart.evidence.intervals import Interval

pytest.importorskip("ctranslate2")
pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")
pytest.importorskip("peft")
soundfile = pytest.importorskip("soundfile")

from headstart.adapt.settings import Settings  # noqa: E402
from headstart.cli.main import main  # noqa: E402
from headstart.speech import listening  # noqa: E402
from headstart.speech.artefact import read  # noqa: E402
from headstart.speech.full import Full  # noqa: E402
from headstart.speech.last_stages import LastStages  # noqa: E402
from headstart.speech.lora import Lora, LoraAll  # noqa: E402
from headstart.speech.losses import Losses  # noqa: E402
from headstart.speech.moves import Moves  # noqa: E402
from headstart.speech.recipe import RECIPES, Recipe  # noqa: E402
from headstart.workflow import transcription, transcription_folds, transcription_task  # noqa: E402
from headstart.workflow.clock import Clock  # noqa: E402
from headstart.workflow.transcription import transcribe  # noqa: E402
from headstart.workflow.transcription_options import TranscriptionOptions  # noqa: E402
from headstart.workflow.transcription_report import verdict  # noqa: E402

_spec = importlib.util.spec_from_file_location("speech_fixtures", Path(__file__).parents[1] / "speech" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixtures)

WORD = "yes"
SETTINGS = Settings(epochs=25, batch=8, rate=2e-2, bf16=False)
RECIPE = Recipe(SETTINGS, Lora(8))
LAST = ("decoder/layer_1/", "decoder/layer_norm/")
BOTH = ("decoder/layer_", "encoder/layer_")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 tones, high and low, all called by one word, as a table."""
    folder = tmp_path_factory.mktemp("calls")
    rng = np.random.default_rng(0)
    lines = ["path,text"]
    for k in range(30):
        t = np.arange(8000 // 2 + 200 * (k % 5)) / 8000
        tone = 0.4 * np.sin(2 * np.pi * (1800 if k % 2 == 0 else 300) * t) + 0.01 * rng.standard_normal(len(t))
        soundfile.write(folder / f"{k:02d}.wav", tone, 8000)
        lines.append(f"{k:02d}.wav,{WORD}")
    (folder / "calls.csv").write_text("\n".join(lines) + "\n")
    return folder / "calls.csv"


@pytest.fixture(autouse=True)
def small_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription_task, "open_checkpoint", lambda _: fixtures.make_checkpoint())


@pytest.mark.parametrize(
    ("moves", "parts"),
    [
        (Lora(8), ("decoder/layer_",)),
        (LastStages(), LAST),
        (LoraAll(8), BOTH),
        (Full(), (*BOTH, "encoder/conv")),
    ],
)
def test_tuning_that_pays_ships(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: Moves, parts: tuple[str, ...]
) -> None:
    out, strategy, source = tmp_path / "calls.headstart", moves.name, fixtures.make_checkpoint()
    if moves.encoder:  # one that hears 1.2 s, so that moving its encoder takes no time
        source = fixtures.make_checkpoint(size=replace(fixtures.SHAPE, positions=60))
        monkeypatch.setattr(listening, "SECONDS", 1.2)
        monkeypatch.setattr(transcription_task, "open_checkpoint", lambda _: source)
        monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(RECIPES, strategy, Recipe(SETTINGS, moves))
    result = transcribe(calls, TranscriptionOptions(out=out, language="en", strategy=strategy))
    report = result.report
    untouched, tuned = (one["metrics"]["word_error_rate"] for one in report["candidates"])
    assert tuned["value"] < 0.5 * untouched["value"]
    assert report["verdict"]["transfer_helps"]
    assert report["verdict"]["gain"]["low"] > 0
    assert report["chosen"] == {"source": "small", "strategy": strategy}
    assert report["words"]["improved"] > 20
    saved = read(out)
    assert saved.card.strategy == strategy
    moved = {name for name, w in saved.checkpoint.weights.items() if (w != source.weights[name]).any()}
    assert all(any(name.startswith(part) for name in moved) for part in parts)
    assert all(name.startswith(parts) for name in moved)
    assert saved.report["verdict"] == report["verdict"]


def test_tuning_that_does_not_pay_moves_nothing(calls: Path, tmp_path: Path) -> None:
    out = tmp_path / "calls.headstart"
    nothing = Recipe(Settings(epochs=1, batch=8, rate=1e-9, bf16=False), Lora(2))
    report = transcribe(calls, TranscriptionOptions(out=out, language="en"), recipe=nothing).report
    assert not report["verdict"]["transfer_helps"]
    assert report["chosen"]["strategy"] == "untouched"
    saved, source = read(out).checkpoint, fixtures.make_checkpoint()
    for name, array in source.weights.items():
        np.testing.assert_array_equal(array, saved.weights[name])


def test_a_budget_that_is_spent_keeps_the_untouched(calls: Path, tmp_path: Path) -> None:
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=1e-3, seed=7)
    report = transcribe(calls, options, recipe=RECIPE).report
    assert report["chosen"]["strategy"] == "untouched"
    assert any("no time to tune" in note for note in report["notes"])
    assert read(options.out).card.strategy == "untouched"


def test_of_the_budget_hearing_and_saving_are_taken_off_before_anything_is_tuned(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, seen = Clock(), []

    def found(task: object, recipe: object, deadline: float) -> None:
        seen.append((deadline, clock.stages["save"]))

    monkeypatch.setattr(transcription, "Clock", lambda: clock)
    monkeypatch.setattr(transcription, "crossfit", found)
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=1000)
    report = transcribe(calls, options, recipe=RECIPE).report
    ((deadline, saving),) = seen
    assert saving > 0
    hearing = report["candidates"][0]["seconds"]
    assert hearing > 0
    assert deadline == pytest.approx(clock.start + 1000 - saving - hearing, abs=0.001)


@pytest.mark.parametrize(("budget", "spent"), [(3.0, 9), (200.0, 33), (323.0, 33), (324.0, 267)])
def test_a_budget_tunes_in_all_folds_or_is_not_spent_on_one(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: float, spent: float
) -> None:
    """A clock by which a step takes 2 s, a reading 9 s, and nothing else any time: a fold takes 9 + 3 x (6 + 18) s.

    Three such folds, and as much for the training on all clips, which takes 3 x 4 x 2 at most, are 324 s. After its
    first epoch, 33 s, a fold knows whether its share suffices.
    """
    clock, mean, backward = [0.0], Losses.mean, Losses.backward

    def timed(seconds, work):
        def run(self, *given):
            clock[0] += seconds
            return work(self, *given)

        return run

    def transcribed(self, checkpoint, rows, *, encoder=False):
        return ["no" if checkpoint is self.checkpoint else WORD] * len(rows)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(transcription, "Clock", lambda: Clock(start=0.0, _last=0.0))
    monkeypatch.setattr(Losses, "backward", timed(2.0, backward))
    monkeypatch.setattr(Losses, "mean", timed(9.0, mean))
    monkeypatch.setattr(transcription_task.Task, "transcribed", transcribed)
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    recipe = Recipe(Settings(epochs=3, batch=8, rate=1e-2, bf16=False), Lora(2))
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=budget)
    report = transcribe(calls, options, recipe=recipe).report
    assert clock[0] <= spent
    late = [note for note in report["notes"] if "time" in note]
    if spent > 33:
        assert not late
        assert report["chosen"]["strategy"] == "lora"
    else:
        more = {200.0: ": about 3 min more are needed in all", 323.0: ": about 1 min more are needed in all"}
        assert late[0] == f"fold 1 of 3: the time does not suffice{more.get(budget, '')}"
        assert late[1].startswith("no time to tune in all folds: the untouched recogniser stays")


def test_the_time_to_hear_with_an_encoder_that_moved_is_measured(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, seen = [], []

    def transcribed(self, checkpoint, rows, *, encoder=False):
        asked.append((len(rows), encoder))
        return ["yes"] * len(rows)

    monkeypatch.setattr(transcription_task.Task, "transcribed", transcribed)
    monkeypatch.setattr(transcription, "crossfit", lambda task, recipe, deadline: seen.append(recipe.moves.name))
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=1000, strategy="lora-all")
    transcribe(calls, options)
    assert seen == ["lora-all"]
    assert asked == [(30, False), (4, True)]


def test_an_interrupt_keeps_the_best_so_far(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(transcription, "crossfit", stop)
    result = transcribe(calls, TranscriptionOptions(out=tmp_path / "x.headstart", language="en"), recipe=RECIPE)
    assert result.interrupted
    assert read(result.path).card.strategy == "untouched"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EngineError("the loss was not a number 6 times"), "the loss was not a number 6 times"),
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_a_training_that_fails_keeps_the_untouched(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(transcription, "crossfit", fail)
    result = transcribe(calls, TranscriptionOptions(out=tmp_path / "x.headstart", language="en"), recipe=RECIPE)
    (note,) = [note for note in result.report["notes"] if "tuning failed" in note]
    assert said in note
    saved = read(result.path)
    assert saved.card.strategy == "untouched"
    assert note in saved.report["notes"]


def test_a_clip_that_is_gone_when_hearing_is_timed_keeps_the_untouched(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise ItemError("the clip is gone")

    monkeypatch.setattr(transcription, "hearing_seconds", gone)
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=1000)
    report = transcribe(calls, options, recipe=RECIPE).report
    assert "tuning failed, so the untouched recogniser stays: the clip is gone" in report["notes"]
    assert read(options.out).report["notes"] == report["notes"]


def test_a_full_disk_keeps_the_recogniser_that_was_saved(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(*_: object) -> None:
        monkeypatch.setattr(os, "fsync", full)

    monkeypatch.setattr(transcription, "crossfit", fill)
    out = tmp_path / "x.headstart"
    result = transcribe(calls, TranscriptionOptions(out=out, language="en"), recipe=RECIPE)
    assert "the file lacks the last of the evidence: " in result.report["notes"][-1]
    assert "o space" in result.report["notes"][-1]
    assert read(out).card.strategy == "untouched"
    assert [path.name for path in tmp_path.iterdir()] == ["x.headstart"]


def test_what_went_wrong_in_a_training_stands_in_the_report(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, calls_made = Losses._sum, []

    def spoiled(self, batch, smoothing):
        calls_made.append(1)
        return total(self, batch, smoothing) * (float("nan") if len(calls_made) == 3 else 1.0)

    monkeypatch.setattr(Losses, "_sum", spoiled)
    one = Recipe(Settings(epochs=1, batch=8, rate=1e-3, bf16=False), Lora(2))
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", seed=11)
    notes = transcribe(calls, options, recipe=one).report["notes"]
    assert [note for note in notes if note.startswith("fold 1 of 3: the loss was not a number in epoch 1: went back")]


def test_without_pytorch_the_untouched_ships_and_the_layer_is_named(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcription_folds, "has", lambda name: name == "peft")
    made = transcribe(calls, TranscriptionOptions(out=tmp_path / "x.headstart", language="en"))
    line = "not tuned, which needs torch, accelerate (not installed): pip install 'headstart[torch]'"
    assert line in made.report["notes"]
    assert made.path.is_file()


def test_few_clips_are_not_tuned_on(calls: Path, tmp_path: Path) -> None:
    few = calls.with_name("few.csv")
    few.write_text("\n".join(calls.read_text().splitlines()[:6]) + "\n")
    report = transcribe(few, TranscriptionOptions(out=tmp_path / "x.headstart", language="en")).report
    assert report["n"] == 5
    assert any("too few" in note for note in report["notes"])
    assert read(tmp_path / "x.headstart").report["notes"] == report["notes"]


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (Interval(0.06, 0.02, 0.1), "tuning pays: word error rate -6.0 points [-10.0, -2.0]"),
        (Interval(-0.06, -0.1, -0.02), "tuning does not pay: word error rate +6.0 points [+2.0, +10.0]"),
        (Interval(0.0, -0.02, 0.02), "cannot tell whether tuning pays: word error rate +0.0 points [-2.0, +2.0]"),
        (Interval(0.0, 0.0, 0.0), "tuning leaves the word error rate as it is"),
    ],
)
def test_the_verdict_in_words(gain: Interval, said: str) -> None:
    assert said in verdict(gain, tuned=True)


def test_clips_that_cannot_be_used_are_named(calls: Path, tmp_path: Path) -> None:
    odd = calls.with_name("odd.csv")
    (calls.parent / "broken.wav").write_bytes(b"RIFF")
    odd.write_text(calls.read_text() + "broken.wav,yes\n")
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=1e-3)
    report = transcribe(odd, options).report
    assert report["n"] == 30
    assert [one["id"] for one in report["skipped"] if one["id"] == "broken.wav"]
    odd.write_text("path,text\nbroken.wav,yes\n")
    with pytest.raises(DataError, match=r"none of the 1 clips can be used: broken\.wav"):
        transcribe(odd, options)


def test_the_command(calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.headstart"
    base = ["fit", str(calls), "--task", "transcribe", "--language", "en", "--out", str(out), "--budget", "0.001s"]
    assert main([*base, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["modality"] == "speech"
    assert report["task"] == "transcribe"
    assert set(report["candidates"][0]["metrics"]) == {"word_error_rate", "character_error_rate"}
    assert main(base) == 0
    printed = capsys.readouterr().out
    assert "word error rate" in printed
    assert f"saved {out}" in printed
    assert main(["fit", str(calls), "--language", "en"]) == 2
    assert "add --task transcribe" in capsys.readouterr().err
    assert main([*base, "--balance"]) == 2
    assert "--balance" in capsys.readouterr().err
    assert main([*base, "--strategy", "lp-ft"]) == 2
    said = capsys.readouterr().err
    assert "--strategy lp-ft: a recogniser's decoder is moved by lora or last-stages, its encoder too by " in said
    assert "lora-all or full; name one" in said
    assert main([*base, "--strategy", "lora", "--strategy", "last-stages"]) == 2
    assert "--strategy was given 2 times" in capsys.readouterr().err
    assert main([*base, "--strategy", "last-stages"]) == 0


@pytest.fixture(scope="module")
def speakers(calls: Path) -> Path:
    """The 30 tones, of four speakers and one who is not named."""
    header, *rows = calls.read_text().splitlines()
    names = ["ann", "bob", "cy", "dot", ""]
    lines = [f"{header},speaker", *(f"{row},{names[k % 5]}" for k, row in enumerate(rows))]
    (calls.parent / "speakers.csv").write_text("\n".join(lines) + "\n")
    return calls.parent / "speakers.csv"


def test_what_the_command_prints_of_words_and_speakers(
    speakers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "lora", RECIPE)
    out = tmp_path / "x.headstart"
    base = ["fit", str(speakers), "--task", "transcribe", "--language", "en", "--strategy", "lora", "--out", str(out)]
    assert main(base) == 0
    printed = capsys.readouterr().out
    report = read(out).report
    assert report["groups"] == 5
    untouched, lora = (one["metrics"]["word_error_rate"]["value"] for one in report["candidates"])
    before, after = (line for line in printed.splitlines() if line.startswith("small · "))
    assert before.startswith(f"small · untouched  {100 * untouched:.1f}")
    assert after.startswith(f"small · lora       {100 * lora:.1f}")
    assert "◀" in after
    assert "◀" not in before
    improved, worse = report["words"]["improved"], report["words"]["worse"]
    assert improved > 20
    assert f"words improved: {improved}: {WORD} ({improved})\n" in printed
    assert f"words got worse: {worse}" in printed
    assert "by group, the worst first:\n" in printed
    heading, *rows = printed.partition("by group, the worst first:\n")[2].splitlines()[:6]
    assert heading.split() == ["group", "clips", "words", "untouched,", "%", "lora,", "%", "change,", "points"]
    assert sorted(row.split()[0] for row in rows) == ["(none)", "ann", "bob", "cy", "dot"]
    for row, group in zip(rows, report["by_group"], strict=True):
        first, second = (one["metrics"]["word_error_rate"]["value"] for one in group["candidates"])
        name, change = group["group"] or "(none)", 100 * (second - first)
        assert row.split() == [name, "6", "6", f"{100 * first:.1f}", f"{100 * second:.1f}", f"{change:+.1f}"]
    assert main(["evaluate", str(out), str(speakers)]) == 0
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines() if line.startswith("group")] == [
        ["group", "clips", "words", "word", "error", "rate,", "%"]
    ]
    assert main(["evaluate", str(out), str(speakers), "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["by_group"]
    assert {one["group"]: (one["n"], one["words"]) for one in groups} == dict.fromkeys(
        ("ann", "bob", "cy", "dot", None), (6, 6)
    )
    rates = [one["metrics"]["word_error_rate"]["value"] for one in groups]
    assert rates == sorted(rates, reverse=True)


def test_no_groups_no_rates_by_group(calls: Path, tmp_path: Path) -> None:
    options = TranscriptionOptions(out=tmp_path / "x.headstart", language="en", budget=1e-3)
    assert transcribe(calls, options).report["by_group"] is None


def test_a_language_that_the_recogniser_does_not_know(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'es'"):
        transcribe(calls, TranscriptionOptions(out=tmp_path / "x.headstart", language="es", source="small"))
