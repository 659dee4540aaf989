"""Sound files of every kind become samples; what is no sound, or none to learn from, has a reason."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest

from headstart.errors import ItemError, MissingLayerError
from headstart.features import sounds
from headstart.features.sound_reader import windows
from headstart.features.sounds import decode
from headstart.sources.base import SoundInput

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def coded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU", "W64", "CAF"])
def test_formats_without_loss_give_the_samples(kind):
    found = decode(coded(tone(), kind=kind), [RATE])
    assert (found.rate, found.seconds) == (RATE, 1.0)
    np.testing.assert_allclose(found.samples[RATE], tone(), atol=1 / 2**15)
    assert found.level == pytest.approx(0.3 / np.sqrt(2), abs=1e-3)
    assert found.clipped == 0


@pytest.mark.parametrize(("kind", "rate"), [("OGG", RATE), ("MP3", RATE), ("OGG", 48_000)])
def test_formats_with_loss_sound_alike(kind, rate):
    found = decode(coded(tone(rate=rate), rate, kind, "OPUS" if rate == 48_000 else None), [rate]).samples[rate]
    assert len(found) == rate
    spectrum = np.abs(np.fft.rfft(found))
    assert np.argmax(spectrum) == 440
    assert np.corrcoef(found, tone(rate=rate))[0, 1] > 0.99


def test_content_counts_and_not_the_name(tmp_path):
    """The reader is never told a name: an MP3 called x.wav is an MP3."""
    path = tmp_path / "x.wav"
    path.write_bytes(coded(tone(), kind="MP3"))
    assert len(decode(path.read_bytes(), [RATE]).samples[RATE]) == RATE


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_another_rate_is_resampled(rate):
    """What a tone is at another rate is known without any library."""
    found = decode(coded(tone(rate=rate), rate, subtype="FLOAT"), [RATE]).samples[RATE]
    assert abs(len(found) - RATE) <= 1
    inner = slice(800, 15_200)  # filters ring at the ends
    np.testing.assert_allclose(found[inner], tone()[: len(found)][inner], atol=2e-3)


def test_several_rates_come_from_one_decoding():
    found = decode(coded(tone(rate=44_100), 44_100), [RATE, 8_000, 44_100]).samples
    assert {rate: len(samples) for rate, samples in found.items()} == {RATE: RATE, 8_000: 8_000, 44_100: 44_100}


def test_blocks_make_no_difference(monkeypatch):
    data = coded(tone(rate=44_100), 44_100)
    whole = decode(data, [RATE]).samples[RATE]
    monkeypatch.setattr(sounds, "_BLOCK", 1_000)
    np.testing.assert_allclose(decode(data, [RATE]).samples[RATE], whole, atol=1e-6)


def test_seven_channels_are_averaged():
    each = np.stack([tone() * (i + 1) / 7 for i in range(7)], axis=1)
    found = decode(coded(each, subtype="FLOAT"), [RATE]).samples[RATE]
    np.testing.assert_allclose(found, tone() * 4 / 7, atol=1e-6)


def test_clipping_is_seen_in_each_channel():
    loud = np.stack([np.clip(tone() * 10, -1, 1), tone()], axis=1)
    expected = np.count_nonzero(np.abs(loud) >= 0.99) / loud.size
    assert expected > 0.2
    assert decode(coded(loud, subtype="FLOAT"), [RATE]).clipped == pytest.approx(expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text" * 50, r"not a sound that can be read .*expected WAV, FLAC"),
        (coded(tone())[:30], "not a sound that can be read"),
        (coded(tone())[:20_000], r"truncated: 19,956 of 32,000 bytes"),
        (coded(tone(), kind="FLAC")[:4_000], "damaged or incomplete"),
        (halved(coded(tone(3), kind="MP3")), "truncated: "),
        (coded(tone()[:0]), "no samples"),
        (coded(np.zeros(RATE, np.float32)), r"silent: its 16,000 samples all have one value"),
        (coded(np.full(RATE, 0.25, np.float32)), "silent"),
        (coded(tone()[5:6]), "a single sample; there is nothing to hear"),
        (coded(np.where(np.arange(RATE) == 77, np.nan, tone()), subtype="FLOAT"), "no numbers"),
        (coded(np.where(np.arange(RATE) == 77, np.inf, tone()), subtype="FLOAT"), "infinite"),
        (coded(tone() * np.float32(1e30), subtype="FLOAT"), "beyond any scale"),
        (coded(tone(), rate=10), "a sample rate of 10 Hz; expected 1,000"),
    ],
)
def test_bad_files_have_a_reason(data, reason):
    with pytest.raises(ItemError, match=reason) as caught:
        decode(data, [RATE])
    assert "BytesIO" not in str(caught.value)
    assert "\n" not in str(caught.value)


def wav_header(seconds: int, rate: int) -> bytes:
    """The header of 8-bit mono samples."""
    size = seconds * rate
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def test_ten_hours_are_refused_by_the_header(monkeypatch):
    monkeypatch.setattr(sounds, "_blocks", lambda file: pytest.fail("samples were decoded"))
    with pytest.raises(ItemError, match=r"10\.0 hours; at most 1 is read: cut the recording into clips"):
        decode(wav_header(36_000, 1_000) + bytes(36_000_000), [RATE])


def test_a_file_that_does_not_tell_its_length_is_bounded(monkeypatch):
    monkeypatch.setattr(sounds, "MAX_SECONDS", 2)
    monkeypatch.setattr(sounds, "_known", lambda file: False)
    monkeypatch.setattr(sounds, "_BLOCK", 5_000)
    assert len(decode(coded(tone(2)), [8_000]).samples[8_000]) == RATE
    with pytest.raises(ItemError, match="cut the recording"):
        decode(coded(tone(2.5)), [8_000])


def test_a_size_that_the_writer_could_not_know_is_no_truncation():
    data = bytearray(coded(tone()))
    data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    assert len(decode(bytes(data), [RATE]).samples[RATE]) == RATE


def test_a_flac_stream_that_does_not_tell_its_length_is_heard_to_the_end(monkeypatch):
    """What a program that writes into a pipe leaves: no samples in all, by its STREAMINFO block."""
    whole = coded(tone(), kind="FLAC")
    data = bytearray(whole)
    assert data[:4] == b"fLaC"
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    monkeypatch.setattr(sounds, "_BLOCK", 5_000)
    np.testing.assert_array_equal(decode(bytes(data), [RATE]).samples[RATE], decode(whole, [RATE]).samples[RATE])


def test_ogg_that_is_cut_anywhere_is_refused():
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    for subtype in ("VORBIS", "OPUS"):
        data = coded(noise, kind="OGG", subtype=subtype)
        borders = {i for i in range(len(data)) if data.startswith(b"OggS", i)}
        assert len(borders) > 3
        for size in np.linspace(5_000, len(data) - 1, 40).astype(int).tolist():
            with pytest.raises(ItemError, match="truncated" if size not in borders else "no samples|truncated"):
                decode(data[:size], [RATE])


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_of_files_put_one_after_another_the_first_is_heard(kind):
    data = coded(tone(), kind=kind)
    assert len(decode(data + data, [RATE]).samples[RATE]) == RATE


def test_any_damage_is_an_item_error(recwarn):
    rng = np.random.default_rng(0)
    for kind in ("WAV", "FLAC", "OGG", "AIFF"):
        whole = coded(tone(0.3), kind=kind)
        for _ in range(25):
            data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.3 else whole)
            for position in rng.integers(0, len(data), rng.integers(1, 12)):
                data[position] = rng.integers(256)
            try:
                found = decode(bytes(data), [RATE])
            except ItemError:
                continue
            assert np.isfinite(found.samples[RATE]).all()
            assert len(found.samples[RATE]) > 0


@pytest.mark.parametrize("absent", ["soundfile", "soxr"])
def test_absent_packages_are_named_with_their_install_line(monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingLayerError, match=rf"needs {absent}.*pip install 'headstart\[audio\]'"):
        decode(coded(tone()), [RATE])


@pytest.mark.parametrize("frames", [0, 998])
@pytest.mark.parametrize("t", [1, 100, 1_000, 1_001, 1_999, 2_000, 2_001, 12_345])
def test_windows_cover_everything_and_are_equally_long(t, frames):
    samples = np.arange(t, dtype=np.float32)
    found = windows(samples, SoundInput(rate=1_000, seconds=1.0, frames=frames))
    lengths = {len(one) for one in found}
    assert len(lengths) == 1
    assert max(lengths) <= 1_000
    np.testing.assert_array_equal(np.unique(np.concatenate(found)), samples)
    assert len(found) == -(-t // 1_000)
    if frames and t > 1_000:
        assert lengths == {1_000}
    if not frames:
        assert sum(map(len, found)) < t + len(found)
