from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from headstart.archive.container import open_archive, write_archive
from headstart.errors import ArtefactError, SourceError
from headstart.sources.base import TrainedOn
from headstart.sources.catalogue import open_source
from headstart.speech.artefact import CARD, WEIGHTS, holds_transcriber, read, read_checkpoint, write
from headstart.speech.opening import open_checkpoint

from .conftest import VOCABULARY, make_checkpoint

FIT = {
    "name": "phone", "strategy": "lora", "language": "en", "beam": 5, "seed": 3, "data": TrainedOn("prompts", 40, 0),
    "versions": {"headstart": "0"}, "input": "path", "label": "words",
}  # fmt: skip
REPORT = {"n": 40, "chosen": {"source": "small", "strategy": "lora"}}


@pytest.fixture
def saved(small, tmp_path):
    path = tmp_path / "phone.headstart"
    write(path, small, FIT, REPORT)
    return path


def rewritten(path, **changed):
    """The file with some parts changed, under hashes that are right: None takes a part away."""
    with open_archive(path) as archive:
        parts = {name: archive.bytes(name) for name in archive.names}
    for key, value in changed.items():
        name = next(name for name in parts if name.startswith(key) or name.endswith(key))
        if value is None:
            del parts[name]
        else:
            parts[name] = value(parts[name])
    write_archive(path, parts)
    return path


def test_what_was_written_is_read(small, saved) -> None:
    found = read(saved)
    assert found.checkpoint.fingerprint == small.fingerprint
    assert found.report == REPORT
    assert {key: getattr(found.card, key) for key in FIT} == FIT
    assert (found.card.source, found.card.licence, found.card.lineage) == ("small", "MIT", small.lineage)
    assert holds_transcriber(saved)


def test_the_card_says_what_kind_of_model_it_is(saved) -> None:
    with open_archive(saved) as archive:
        card = archive.json(CARD)
        assert sorted(archive.names) == ["report.json", "tokenizer.json", CARD, WEIGHTS]
    assert (card["kind"], card["modality"], card["task"]) == ("transcriber", "speech", "transcribe")


def test_same_weights_same_bytes(saved, tmp_path) -> None:
    again = tmp_path / "again.headstart"
    write(again, make_checkpoint(), FIT, REPORT)
    assert again.read_bytes() == saved.read_bytes()


def test_float32_is_kept_in_float16(tmp_path) -> None:
    write(tmp_path / "x.headstart", make_checkpoint(dtype=np.float32), FIT, REPORT)
    kept = read(tmp_path / "x.headstart").checkpoint.weights
    assert {array.dtype.name for array in kept.values()} == {"float16"}


def test_weights_too_large_for_float16_are_not_written(tmp_path) -> None:
    large = make_checkpoint(dtype=np.float32)
    name = "encoder/conv1/bias"
    with pytest.raises(SourceError, match="finite"):
        write(tmp_path / "x.headstart", large.with_weights({**large.weights, name: large.weights[name] + 1e5}), FIT, {})
    assert not (tmp_path / "x.headstart").exists()


def test_the_next_fit_starts_from_it(small, saved, tmp_path) -> None:
    checkpoint = open_checkpoint(str(saved))
    own, *rest = checkpoint.lineage
    assert checkpoint.name == own.name == "phone"
    assert (own.strategy, own.data, tuple(rest)) == ("lora", TrainedOn("prompts", 40, 0), small.lineage)
    write(tmp_path / "second.headstart", checkpoint, {**FIT, "name": "second"}, REPORT)
    chain = read_checkpoint(tmp_path / "second.headstart").lineage
    assert [one.name for one in chain] == ["second", "phone", "small"]


@pytest.mark.parametrize("part", [WEIGHTS, "tokenizer.json", "report.json"])
def test_a_missing_part(saved, part) -> None:
    with pytest.raises(ArtefactError, match=part):
        read(rewritten(saved, **{part: None}))


def with_weight(name, change):
    def changed(data: bytes) -> bytes:
        arrays = load_arrays(data)
        arrays[name] = change(arrays[name])
        return save_arrays(arrays)

    return changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_weight("encoder/layer_norm/beta", lambda a: a * np.float16(np.nan)), "not finite"),
        (with_weight("encoder/layer_norm/beta", lambda a: a[:-1].copy()), "shape"),
        (with_weight("encoder/layer_norm/beta", lambda a: a.astype(np.int8)), "expected float16 or float32"),
        (with_weight("encoder/layer_norm/beta", lambda a: a.reshape(1, -1)), "shape"),
        (with_weight("decoder/embeddings/weight", lambda a: a[:1500].copy()), "belongs to the model"),
        (
            with_weight("encoder/position_encodings/encodings", lambda a: np.zeros((0, 32), np.float16)),
            "positions is 0",
        ),
        (with_weight("decoder/num_heads", lambda a: a), "num_heads"),
        (lambda data: data[:-40], "safetensors"),
        (lambda data: save_arrays({}), "missing"),
    ],
)
def test_hostile_weights(saved, change, said) -> None:
    """What CTranslate2 would read past its buffers for, or turn into nonsense, never reaches it."""
    if said == "num_heads":
        extra = np.array([4], np.int16)
        change = lambda data: save_arrays({**load_arrays(data), "decoder/num_heads": extra})  # noqa: E731
    with pytest.raises(ArtefactError, match=said):
        read(rewritten(saved, **{WEIGHTS: change}))


def with_card(**values):
    def changed(data: bytes) -> bytes:
        card = json.loads(data)
        card["settings"] |= {key: values.pop(key) for key in list(values) if key in card["settings"]}
        return json.dumps({**card, **values}).encode()

    return changed


@pytest.mark.parametrize(
    "change",
    [
        with_card(heads=5), with_card(heads=0), with_card(heads="4"), with_card(multilingual=1),
        with_card(suppress=[VOCABULARY]), with_card(suppress=["a"]), with_card(suppress=[1] * 5000),
        with_card(suppress_first=None), with_card(language="de"), with_card(language=7), with_card(beam=10**6),
        with_card(kind="image"), with_card(lineage=[{}]), with_card(lineage=None), with_card(data=None),
        with_card(settings=[]), with_card(versions=3), with_card(name=None), with_card(seed=-1),
        lambda data: b"[]", lambda data: b"{", lambda data: b"\xff",
    ],
)  # fmt: skip
def test_a_hostile_card(saved, change) -> None:
    with pytest.raises(ArtefactError):
        read(rewritten(saved, **{CARD: change}))


@pytest.mark.parametrize("change", [lambda data: b"{}", lambda data: data.replace(b"<|endoftext|>", b"<|endoftxxx|>")])
def test_a_hostile_tokenizer(saved, change) -> None:
    with pytest.raises(ArtefactError, match="tokenizer"):
        read(rewritten(saved, **{"tokenizer.json": change}))


def test_a_report_that_is_none(saved) -> None:
    with pytest.raises(ArtefactError, match="not an object"):
        read(rewritten(saved, **{"report.json": lambda data: b"[]"}))


def test_bytes_that_were_changed(saved) -> None:
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ArtefactError, match="not those that were written"):
        read(saved)


def test_a_model_of_another_kind(tmp_path) -> None:
    path = tmp_path / "birds.headstart"
    write_archive(path, {"model.json": b"{}"})
    assert not holds_transcriber(path)
    with pytest.raises(ArtefactError, match="no recogniser but a model of another kind"):
        open_checkpoint(str(path))


def test_a_recogniser_is_no_source_of_features(saved) -> None:
    with pytest.raises(SourceError, match="cannot be a source: it hears speech"):
        open_source(str(saved))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_what_is_no_model_holds_no_transcriber(tmp_path, content) -> None:
    path = tmp_path / "x.headstart"
    path.write_bytes(content)
    assert not holds_transcriber(path)
    assert not holds_transcriber(tmp_path / "none.headstart")
    assert not holds_transcriber(tmp_path)


def test_settings_travel(several, tmp_path) -> None:
    path = tmp_path / "x.headstart"
    write(path, replace(several, licence="other"), {**FIT, "language": "fr"}, REPORT)
    assert asdict(read(path).card.settings) == asdict(several.settings)
