from __future__ import annotations

import json

import pytest

from headstart.errors import SourceError
from headstart.sources.base import Exported, ImageInput, SoundInput, Tap, TextInput
from headstart.sources.record import source_from_directory, verify, write_record

TEXT = Exported("t", "text", "here", "MIT", 3, TextInput(8, 1, "q: "), (Tap("a.first", 0, "first", 4),))
IMAGE = Exported(
    "i",
    "image",
    "hère",
    "MIT",
    3,
    ImageInput(16, (0.1, 0.2, 0.3), (1, 1, 1), "crop", 0.9, "bilinear"),
    (Tap("a", 0, "mean", 4), Tap("b", 1, "max", 5)),
)


SOUND = Exported(
    "s",
    "sound",
    "here",
    "MIT",
    3,
    SoundInput(16_000, 10, 400, "ast", 128, 1024, -4.0, 9.0),
    (Tap("a.mean", 0, "mean", 4), Tap("a.std", 0, "std", 4)),
)
WAVE = {"rate": 16_000, "seconds": 10, "kind": "sound"}
MEL = WAVE | {"front": "whisper", "bands": 80}


def written(exported, directory):
    (directory / "graph.onnx").write_bytes(b"graph")
    if exported.modality == "text":
        (directory / "tokenizer.json").write_bytes(b"{}")
    return write_record(exported, directory)


@pytest.mark.parametrize("exported", [TEXT, IMAGE, SOUND], ids=["text", "image", "sound"])
def test_reads_back_what_was_written(exported, tmp_path):
    source = written(exported, tmp_path)
    assert source == source_from_directory(tmp_path)
    for name in ("name", "modality", "origin", "licence", "parameters", "input", "taps"):
        assert getattr(source, name) == getattr(exported, name)
    assert source.width == sum(tap.width for tap in exported.taps)
    verify(source)
    before = (tmp_path / "source.json").read_bytes()
    assert written(exported, tmp_path) == source
    assert (tmp_path / "source.json").read_bytes() == before


def test_the_fingerprint_is_of_all_that_decides_features(tmp_path):
    from dataclasses import replace

    base = written(TEXT, tmp_path).fingerprint
    assert written(replace(TEXT, name="other", origin="o"), tmp_path).fingerprint == base
    assert written(replace(TEXT, input=TextInput(9, 1, "q: ")), tmp_path).fingerprint != base
    assert written(replace(TEXT, taps=(Tap("a.first", 0, "first", 5),)), tmp_path).fingerprint != base
    for file in ("graph.onnx", "tokenizer.json"):
        source = written(TEXT, tmp_path)
        (tmp_path / file).write_bytes(b"other")
        with pytest.raises(SourceError, match=r"its record says"):
            verify(source)


def test_an_incomplete_export_is_refused(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(b"graph")
    with pytest.raises(SourceError, match=r"missing tokenizer.json"):
        write_record(TEXT, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("modality", "smell", "one of image, text"),
        ("taps", [], "1 to 1024 objects"),
        ("taps", [{"name": "a", "depth": -1, "pooling": "sum", "width": 0}], "'depth'.*'pooling'|'pooling'.*'depth'"),
        ("parameters", True, "whole number"),
        ("input", {"size": 16, "mean": [0, 0], "std": [1, 1, 0], "kind": "image"}, "'mean'.*'std'"),
        ("input", [], "an object"),
        ("files", {"graph.onnx": 4}, "not the file of 4 bytes"),
        ("extra", 1, "unknown key 'extra'"),
        ("name", None, "'name'"),
    ],
)
def test_wrong_records_are_refused(key, value, message, tmp_path):
    written(IMAGE, tmp_path)
    path = tmp_path / "source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(SourceError, match=message) as caught:
        source_from_directory(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (WAVE | {"rate": 0}, "'rate'.*1 to 384000"),
        (WAVE | {"rate": 10**9}, "'rate'"),
        (WAVE | {"rate": 16_000.5}, "'rate'"),
        (WAVE | {"seconds": 0}, "'seconds'"),
        (WAVE | {"seconds": 601}, "'seconds'"),
        (WAVE | {"seconds": float("nan")}, "'seconds'"),
        (WAVE | {"rate": 384_000, "seconds": 600}, "230,400,000 samples"),
        (WAVE | {"shortest": 0}, "'shortest'"),
        (WAVE | {"shortest": 160_001}, "more than a window"),
        (WAVE | {"front": "cepstrum"}, "'front'.*wave, whisper, ge2e, ast"),
        (WAVE | {"bands": 80}, "of a spectrogram"),
        (MEL | {"bands": 0}, "needs 'bands'"),
        (MEL | {"bands": 257}, "'bands'"),
        (MEL | {"frames": -1}, "'frames'"),
        (MEL | {"rate": 99}, "at least 1,?000 Hz|1,000 Hz or more"),
        (MEL | {"std": 0}, "'std'"),
        (MEL | {"mean": "x"}, "'mean'"),
        (MEL | {"standardise": 1}, "'standardise'.*true or false"),
        (MEL | {"hop": 160}, "unknown key 'hop'"),
        (WAVE | {"kind": "image"}, "'kind'"),
    ],
)
def test_a_wrong_description_of_sounds_is_refused(described, message, tmp_path):
    written(SOUND, tmp_path)
    path = tmp_path / "source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"input": described}))
    with pytest.raises(SourceError, match=message) as caught:
        source_from_directory(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a": 1e999}', "\xff"])
def test_broken_json_is_refused(text, tmp_path):
    (tmp_path / "source.json").write_text(text, "latin-1")
    with pytest.raises(SourceError):
        source_from_directory(tmp_path)
    with pytest.raises(SourceError, match=r"cannot be read"):
        source_from_directory(tmp_path / "absent")
