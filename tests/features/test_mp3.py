"""MP3 data that do not tell their length, or tell a wrong one, are heard to their end."""

from __future__ import annotations

import io

import numpy as np
import pytest

from headstart.errors import ItemError
from headstart.features.mp3 import with_length
from headstart.features.sounds import decode

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16_000
# Of an encoder and a decoder together; MPEG 2 codes 576 samples a frame.
DELAY, FRAME = 1_105 + 529, 576


def coded(samples: np.ndarray, rate: int = RATE, *, mode: str = "CONSTANT", level: float = 0.5) -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate, format="MP3", bitrate_mode=mode, compression_level=level)
    return file.getvalue()


def tone(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def headless(data: bytes, rate: int = RATE) -> bytes:
    """Without the frame that has the Xing header, whose length is worked out here by hand."""
    per_second, kilobits = (144, (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320))
    if rate < 32_000:
        per_second, kilobits = (72, (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))
    assert data[0] == 0xFF
    assert b"Xing" in data[:64] or b"Info" in data[:64]
    length = per_second * 1000 * kilobits[data[2] >> 4] // rate + (data[2] >> 1 & 1)
    assert data[length] == 0xFF
    return data[length:]


def heard(data: bytes, rate: int = RATE) -> np.ndarray:
    return decode(data, [rate]).samples[rate]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_variable_rate_without_a_header_is_heard_whole(rate, channels):
    clip = np.stack([np.concatenate([noise(rate=rate), tone(rate=rate)])] * channels, axis=1)
    whole = coded(clip, rate, mode="VARIABLE")
    found = heard(headless(whole, rate), rate)
    assert 0 <= len(found) - len(clip) < 6 * 1_152
    # Without the header the encoder's delay stays at the beginning.
    shift = int(np.argmax(np.correlate(found[: rate // 2 + 4_000], clip[: rate // 2, 0], "valid")))
    inner = slice(rate, 5 * rate)
    assert np.corrcoef(found[shift:][inner], heard(whole, rate)[inner])[0, 1] > 0.99


def test_what_tells_its_true_length_is_left_alone():
    for data in (coded(tone()), coded(noise(), mode="VARIABLE"), b"", b"\xff\xfb", b"RIFF" * 9, b"ID3", bytes(99)):
        assert with_length(data) is data


@pytest.mark.parametrize(("first", "second"), [(tone, noise), (noise, tone)])
def test_files_put_one_after_another_are_heard_to_the_end(first, second):
    """Of the first's header libsndfile would take the first alone, or guess that there are minutes."""
    low, high = (0.95, 0.0) if first is tone else (0.0, 0.95)
    joined = coded(first(), level=low) + coded(second(), level=high)
    found = heard(joined)
    assert 6 * RATE <= len(found) < 6.3 * RATE
    crossings = [np.count_nonzero(np.diff(np.sign(part)) != 0) for part in (found[: 2 * RATE], found[-2 * RATE :])]
    assert np.argmax(crossings) == (1 if first is tone else 0)


def test_tags_are_passed_over():
    tag = b"ID3\x03\x00\x00\x00\x00\x07\x76" + bytes(1_014)
    alone, data = headless(coded(tone())), headless(coded(tone(), mode="VARIABLE"))
    np.testing.assert_array_equal(heard(tag + data + b"TAG" + bytes(125)), heard(data))
    assert abs(len(heard(alone + tag + alone)) - 2 * len(heard(alone))) <= 2 * DELAY


def test_a_header_that_promises_more_is_still_a_truncation():
    data = coded(np.concatenate([tone(), noise()]), mode="VARIABLE")
    assert with_length(data[: len(data) // 2]) == data[: len(data) // 2]
    with pytest.raises(ItemError, match="truncated"):
        heard(data[: len(data) // 2])


def test_damage_is_an_item_error_or_a_sound():
    whole, rng = headless(coded(tone(0.5), mode="VARIABLE")), np.random.default_rng(0)
    for _ in range(50):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), rng.integers(1, 12)):
            data[position] = rng.integers(256)
        try:
            assert np.isfinite(heard(bytes(data))).all()
        except ItemError:
            continue
