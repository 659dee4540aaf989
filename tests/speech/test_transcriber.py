from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli.main import main
from headstart.cli.predict import describe, parts
from headstart.errors import ArtefactError, DataError, MissingLayerError
from headstart.features import files
from headstart.model.model import Model
from headstart.progress import Silent
from headstart.sources.base import TrainedOn
from headstart.speech.artefact import write
from headstart.speech.recogniser import Recogniser
from headstart.speech.transcriber import Transcriber

for _module in ("ctranslate2", "soundfile", "soxr", "jiwer", "whisper_normalizer"):
    pytest.importorskip(_module)

FIT = {
    "name": "phone", "strategy": "lora", "language": "en", "beam": 2, "seed": 3, "data": TrainedOn("prompts", 40, 0),
    "versions": {"headstart": "0"}, "input": "path", "label": "words",
}  # fmt: skip
SEGMENTS = [{"start": 0.0, "end": 1.5, "text": "Thank you."}, {"start": 1.5, "end": 64.25, "text": "Good bye."}]
HEARD = {"input": "a.wav", "text": "Thank you. Good bye.", "confidence": 0.9, "segments": SEGMENTS, "seconds": 64.3}


@pytest.fixture(scope="module")
def path(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "phone.headstart"
    write(path, small, FIT, {"n": 40})
    return path


@pytest.fixture(scope="module")
def model(path) -> Transcriber:
    found = hs.load(path)
    assert isinstance(found, Transcriber)
    return found


def test_it_says_what_it_is(model, path, small) -> None:
    assert (model.path, model.evidence, model.lineage) == (path, {"n": 40}, small.lineage)


def test_predictions_are_the_recogniser_s(model, clips) -> None:
    expected = list(model.recogniser.transcribe(clips, "en", beam=2))
    found = model.predict(clips)
    assert [one["text"] for one in found] == [one.text for one in expected]
    assert [one["input"] for one in found] == [clip.as_posix() for clip in clips]
    assert found[3].keys() == {"input", "text", "confidence", "segments", "language", "no_speech", "seconds"}
    assert all(0 <= one["confidence"] <= 1 for one in found)
    json.dumps(found)


def test_what_cannot_be_read_is_told_in_its_place(model, clips, tmp_path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF....")
    found = model.predict([clips[0], "none.wav", bad, clips[1], tmp_path / "also-none.wav"])
    assert ["error" in one for one in found] == [False, True, True, False, True]
    assert found[1] == {"input": "none.wav", "error": "no such file"}


def test_a_folder_and_a_table_are_read(model, clips, tmp_path) -> None:
    whole = model.predict(clips)
    assert [one["text"] for one in model.predict(clips[0].parent)] == [one["text"] for one in whole]
    frame = pd.DataFrame({"path": [str(clip) for clip in clips[:3]], "other": ["a", "b", "c"]})
    assert [one["text"] for one in model.predict(frame)] == [one["text"] for one in whole[:3]]


_BLOCKED = """
import json, sys
for name in ("torch", "transformers", "peft", "accelerate", "timm"):
    sys.modules[name] = None  # to import it is an ImportError
import headstart as hs
model = hs.load(sys.argv[1])
print(json.dumps([model.predict(sys.argv[3:]), model.evaluate(sys.argv[2])]))
"""


def test_it_needs_neither_torch_nor_transformers(model, path, clips, tmp_path) -> None:
    table = tmp_path / "held-out.csv"
    pd.DataFrame({"path": clips[:3], "words": ["one two", "three", "four"]}).to_csv(table, index=False)
    command = [sys.executable, "-c", _BLOCKED, str(path), str(table), *map(str, clips[:3])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == json.loads(json.dumps([model.predict(clips[:3]), model.evaluate(table)]))


def test_evaluation_counts_the_edits_of_the_texts(model, clips, tmp_path) -> None:
    import jiwer

    from headstart.evidence.text_normaliser import normalised

    words = ["one two three", "four", "five six", "seven", "eight nine"]
    frame = pd.DataFrame({"path": [*map(str, clips[:5]), str(tmp_path / "none.wav")], "words": [*words, "ten"]})
    report = model.evaluate(frame)
    heard = [normalised(one["text"], "en") for one in model.predict(clips[:5])]
    rate = report["metrics"]["word_error_rate"]
    assert rate["value"] == pytest.approx(jiwer.wer([normalised(text, "en") for text in words], heard))
    assert rate["low"] <= rate["value"] <= rate["high"]
    assert "character_error_rate" in report["metrics"]
    assert (report["n"], report["task"]) == (5, "transcribe")
    assert sum("no such file" in one["reason"] for one in report["skipped"]) == 1


def test_evaluation_of_nothing_that_can_be_read(model, tmp_path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF....")
    with pytest.raises(DataError, match="none of its 1 recordings could be read"):
        model.evaluate(pd.DataFrame({"path": [str(bad)], "words": ["one"]}))


def test_progress_names_what_is_read_and_a_large_file_what_to_do(model, clips, tmp_path, monkeypatch) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.bars = []

        def bar(self, label, detail, total, unit):
            self.bars.append((label, detail))
            return super().bar(label, detail, total, unit)

    told = Told()
    table = tmp_path / "held-out.csv"
    table.write_text(f"path,words\n{clips[0]},one\n")
    model.evaluate(table, progress=told)
    list(model.predict_iter([clips[0]], progress=told))
    assert told.bars == [("evaluate", "held-out.csv"), ("transcribe", clips[0].as_posix())]
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    (large,) = model.predict([clips[0]])
    assert large["error"].endswith("at most 10 are read: cut the recording into parts")


def test_evaluation_without_jiwer_is_told_before_anything_is_heard(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    monkeypatch.setattr(Recogniser, "transcribe", lambda *_, **__: pytest.fail("it was heard"))
    with pytest.raises(MissingLayerError, match=r"jiwer.*pip install 'headstart\[speech\]'"):
        model.evaluate(tmp_path / "any.csv")


def test_saved_copied_and_pickled_it_is_the_same(model, path, clips, tmp_path) -> None:
    assert model.save(tmp_path / "copy.headstart").read_bytes() == path.read_bytes()
    expected = model.predict(clips[:2])
    for other in (copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert other.predict(clips[:2]) == expected
        assert other.evidence == model.evidence


def test_load_tells_models_apart(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((60, 3)), columns=["a", "b", "c"])
    frame["y"] = np.where(frame["a"] > 0, "yes", "no")
    hs.fit(frame, label="y", out=tmp_path / "table.headstart")
    assert isinstance(hs.load(tmp_path / "table.headstart"), Model)
    with pytest.raises(ArtefactError, match="cannot be opened"):
        hs.load(tmp_path / "none.headstart")


def test_predict_prints_json_lines(path, clips, capsys) -> None:
    assert main(["predict", str(path), str(clips[0]), "none.wav", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.keys() >= {"input", "text", "confidence", "segments", "language"}
    assert second == {"input": "none.wav", "error": "no such file"}


def test_predict_prints_lines_for_people(path, clips, capsys) -> None:
    assert main(["predict", str(path), str(clips[0])]) == 0
    assert capsys.readouterr().out.rstrip().endswith(" %")


def test_evaluate_prints_the_rates(path, clips, tmp_path, capsys) -> None:
    table = tmp_path / "held-out.csv"
    pd.DataFrame({"path": map(str, clips[:4]), "words": ["one two", "three", "four", "five"]}).to_csv(
        table, index=False
    )
    assert main(["evaluate", str(path), str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["word_error_rate"]["value"] > 0
    assert main(["evaluate", str(path), str(table)]) == 0
    out = capsys.readouterr().out
    assert "4 items" in out
    assert "word error rate" in out


def test_several_segments_are_lines_below() -> None:
    assert describe(HEARD) == "64 s  90.0 %"
    assert parts(HEARD) == ["      0.00     1.50  Thank you.", "      1.50    64.25  Good bye."]
    one = {**HEARD, "segments": SEGMENTS[:1], "text": "Thank\x1b you."}
    assert parts(one) == []
    assert describe(one) == "Thank\\x1b you.  90.0 %"
    assert describe({**one, "text": "", "segments": []}) == "(nothing said)  90.0 %"


def test_weights_that_are_nonsense_never_reach_ctranslate2(small, tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.headstart"
    name = "decoder/layer_norm/beta"
    monkeypatch.setattr("headstart.speech.artefact.halved", lambda given: given)
    bad = {**small.weights, name: np.full(small.dimensions.width, np.nan, np.float16)}
    write(path, replace(small, weights=bad), FIT, {})
    monkeypatch.setattr("headstart.speech.transcriber.Recogniser", lambda *_: pytest.fail("it was run"))
    with pytest.raises(ArtefactError, match="not finite"):
        hs.load(path)
