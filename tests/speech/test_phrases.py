"""Where recordings pause, and which words come after each pause: sounds and silences whose places are known."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.speech import bundled
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.listening import RATE, listen
from headstart.speech.phrases import cut_at_pauses, phrases
from headstart.speech.recogniser import Recogniser
from headstart.speech.tokens import Tokens

from .conftest import DIGITS

PARTS = ((0.5, 1.5), (2.25, 3.0), (3.8, 6.0))


def sound(parts: tuple[tuple[float, float], ...] = PARTS, noise: float = 0.0, seconds: float = 7.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    samples = noise * np.random.default_rng(0).standard_normal(len(t))
    for start, end in parts:
        samples += np.where((t >= start) & (t < end), 0.3 * np.sin(2 * np.pi * 440 * t), 0)
    return samples.astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-2])
@pytest.mark.parametrize("loudness", [1.0, 0.01])
def test_stretches_of_sound_are_found_to_a_frame(noise: float, loudness: float) -> None:
    np.testing.assert_allclose(phrases(loudness * sound(noise=noise), RATE), PARTS, atol=0.021)


def test_a_constant_offset_is_no_sound() -> None:
    np.testing.assert_allclose(phrases(sound() + np.float32(0.1), RATE), PARTS, atol=0.021)


def test_short_gaps_are_no_pauses_and_clicks_no_sound() -> None:
    gaps = ((0.5, 1.5), (1.8, 3.0), (5.0, 5.02))
    np.testing.assert_allclose(phrases(sound(gaps), RATE), [(0.5, 3.0)], atol=0.021)


@pytest.mark.parametrize(
    "samples", [sound(()), sound(((0.0, 7.0),)), sound(noise=0.3), np.ones(100, np.float32)],
    ids=["silence", "a tone", "loud noise", "too short"],
)  # fmt: skip
def test_where_no_silence_can_be_told_it_is_all_one(samples: np.ndarray) -> None:
    assert phrases(samples, RATE) == [(0.0, len(samples) / RATE)]


def cut(tokens: Tokens, text: str, starts: dict[str, float], parts=PARTS) -> list[tuple[float, float, str]]:
    """`text`, cut; a word begins where `starts` says, other tokens with the one before."""
    ids = tokens.encode(text)
    times, now, place = [], 0.0, 0
    whole = tokens.decode(ids).encode()
    for k in range(len(ids)):
        for word, start in starts.items():
            if whole[place:].startswith(f" {word}".encode()):
                now = start
        times.append(now)
        place = len(tokens.decode(ids[: k + 1]).encode())
    found = cut_at_pauses(ids, times, parts, tokens)
    assert [token for piece in found for token in piece.ids] == ids
    return [(piece.start, piece.end, tokens.decode(piece.ids).strip()) for piece in found]


def test_words_come_after_the_pause_that_they_are_nearest_to(small: Checkpoint) -> None:
    starts = {"one": 0.0, "two": 1.0, "three": 1.7, "four": 3.9, "five": 4.5}  # three early in its pause, four late
    assert cut(small.tokens, "one two three four five", starts) == [
        (0.5, 1.5, "one two"),
        (2.25, 3.0, "three"),
        (3.8, 6.0, "four five"),
    ]


def test_a_pause_that_no_word_begins_at_cuts_nothing(small: Checkpoint) -> None:
    assert cut(small.tokens, "one two three", {"one": 0.0, "two": 1.0, "three": 3.5}) == [
        (0.5, 3.0, "one two"),
        (3.8, 6.0, "three"),
    ]
    assert cut(small.tokens, "one two", {"one": 0.0, "two": 0.9}) == [(0.5, 6.0, "one two")]


def test_a_noise_between_two_pauses_has_no_words(small: Checkpoint) -> None:
    parts = ((0.5, 1.5), (2.0, 2.1), (2.6, 3.0))
    assert cut(small.tokens, "one two", {"one": 0.5, "two": 2.1}, parts) == [(0.5, 1.5, "one"), (2.6, 3.0, "two")]


def test_characters_of_scripts_without_blanks_stay_whole(small: Checkpoint) -> None:
    ids = small.tokens.encode("你好")[1:]  # without the blank before it
    starts = [0.0] * 3 + [1.9] * 3
    assert [small.tokens.decode(piece.ids) for piece in cut_at_pauses(ids, starts, PARTS[:2], small.tokens)] == [
        "你",
        "好",
    ]


@pytest.mark.skipif(not DIGITS.is_dir() or not bundled.installed("whisper_tiny_en"), reason="not there")
def test_spoken_digits_with_pauses_between_them(tmp_path) -> None:
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("ctranslate2")
    spoken, known, at = [], [], 0
    for digit, name in ((3, "jackson"), (7, "jackson"), (9, "jackson"), (2, "jackson")):
        samples = listen(DIGITS / f"{digit}_{name}_1.wav")
        spoken += [np.zeros(int(0.9 * RATE), np.float32), samples]
        known.append(((at := at + int(0.9 * RATE)) / RATE, (at := at + len(samples)) / RATE))
    soundfile.write(tmp_path / "digits.wav", np.concatenate(spoken), RATE)
    recogniser = Recogniser(bundled.open_bundled("whisper_tiny_en"), workers=1)
    (heard,) = recogniser.transcribe([tmp_path / "digits.wav"])
    assert len(heard.segments) >= 3
    assert " ".join(segment.text for segment in heard.segments) == heard.text
    for segment in heard.segments:
        assert min(abs(segment.start - start) for start, _ in known) < 0.15  # the clips begin and end in some silence
        assert min(abs(segment.end - end) for _, end in known) < 0.15
