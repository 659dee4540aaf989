from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import EngineError, ItemError, OptionError
from headstart.speech import bundled
from headstart.speech.decoder import Decoded, confidence
from headstart.speech.listening import RATE, listen, log_mel
from headstart.speech.recogniser import Recogniser
from headstart.speech.transcript import Transcript, Unreadable

from .conftest import DIGITS

pytest.importorskip("soundfile")
pytest.importorskip("soxr")


@pytest.fixture(scope="module")
def recogniser(small) -> Recogniser:
    pytest.importorskip("ctranslate2")
    return Recogniser(small, workers=2)


def test_transcripts_come_in_order_and_do_not_depend_on_neighbours(recogniser, clips) -> None:
    alone = [next(recogniser.transcribe([path], beam=2)) for path in clips]
    together = list(recogniser.transcribe(clips[::-1], beam=2))[::-1]
    assert [one.text for one in together] == [one.text for one in alone]
    np.testing.assert_allclose([one.confidence for one in together], [one.confidence for one in alone], atol=1e-4)
    assert [one.seconds for one in together] == pytest.approx([0.3 + 0.2 * k for k in range(len(clips))], abs=1e-3)
    assert len({one.text for one in together}) > 1
    for one in together:
        assert "".join("".join(segment.text.split()) for segment in one.segments) == "".join(one.text.split())
        times = [time for segment in one.segments for time in (segment.start, segment.end)]
        assert times == sorted(times)
        assert not times or 0 <= times[0] < times[-1] <= one.seconds
    assert all(not one.segments for one in together if not one.text)


def test_cached_features_and_states_give_the_same(recogniser, clips) -> None:
    expected = [one.text for one in recogniser.transcribe(clips, beam=1)]
    mels = [recogniser.features(listen(path)) for path in clips]
    assert {mel.shape for mel in mels} == {(80, 3000)}
    assert [one.text for one in recogniser.from_features(mels, beam=1)] == expected
    states = [recogniser.encode(mel) for mel in mels]
    assert {one.shape for one in states} == {(1500, 32)}
    assert [one.text for one in recogniser.from_states(states, beam=1)] == expected


def test_what_cannot_be_aligned_stays_one_segment(recogniser, clips, monkeypatch) -> None:
    pauses = [(0.1, 0.4), (0.9, 1.2)]
    monkeypatch.setattr("headstart.speech.recogniser.phrases", lambda *_: pauses)
    monkeypatch.setattr(recogniser._decoder, "starts", lambda *_: None)
    heard = [one for one in recogniser.transcribe(clips, beam=1) if one.text]
    assert heard
    for one in heard:
        assert [(segment.start, segment.end, segment.text) for segment in one.segments] == [(0.1, 1.2, one.text)]


def test_pauses_are_looked_for_only_where_they_cut(recogniser, clips, monkeypatch) -> None:
    monkeypatch.setattr("headstart.speech.recogniser.phrases", None)  # must not be needed
    assert all(isinstance(one, Transcript) for one in recogniser.transcribe(clips[:2], beam=1, timestamps=True))


def test_in_int8_it_hears_about_the_same(small, recogniser, clips) -> None:
    rounded = Recogniser(small, compute="int8_float32", workers=1)
    mel = recogniser.features(listen(clips[3]))
    exact, near = recogniser.encode(mel), rounded.encode(mel)
    assert (near != exact).any()  # it is computed otherwise
    assert np.abs(near - exact).mean() < 0.05 * exact.std()
    assert isinstance(next(rounded.transcribe(clips[3:], beam=1)), Transcript)


def test_what_ctranslate2_cannot_compute_in_is_one_line(small) -> None:
    pytest.importorskip("ctranslate2")
    with pytest.raises(EngineError, match="CTranslate2 does not load small in int3"):
        Recogniser(small, compute="int3")


def test_windows_of_different_lengths_keep_their_order(recogniser) -> None:
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((t, 32)).astype(np.float32) for t in (40, 60, 40, 50, 60, 40)]
    alone = [next(recogniser.from_states([one], beam=1)).text for one in states]
    assert [one.text for one in recogniser.from_states(states, beam=1)] == alone


def test_what_cannot_be_read_keeps_its_place(recogniser, clips, tmp_path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    heard = list(recogniser.transcribe([clips[0], bad, tmp_path / "none.wav", clips[1]], beam=1))
    assert [type(one) for one in heard] == [Transcript, Unreadable, Unreadable, Transcript]
    assert "not a sound" in heard[1].reason


def test_an_unknown_language_is_refused(recogniser, several, clips) -> None:
    with pytest.raises(OptionError, match="'es'"):
        next(recogniser.transcribe(clips, "es"))
    spanish = Recogniser(several, workers=1)
    assert next(spanish.transcribe(clips, "es", beam=1)).language == "es"
    with pytest.raises(OptionError, match="'de'"):
        next(spanish.transcribe(clips, "de"))


def test_a_caller_that_stops_early_stops_the_work(recogniser, clips) -> None:
    read: list[object] = []

    def counted():
        for path in clips * 50:
            read.append(path)
            yield path

    transcripts = recogniser.transcribe(counted(), beam=1)
    next(transcripts)
    transcripts.close()
    assert len(read) < 100


def test_silence_follows_a_window_to_30_s() -> None:
    samples = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    mel = log_mel(samples, 80)
    padded = log_mel(np.pad(samples, (0, 29 * RATE)), 80)
    np.testing.assert_allclose(mel, padded, atol=1e-6)


def test_confidence_is_the_geometric_mean_of_the_probabilities() -> None:
    decoded = [Decoded((1, 2, 3), 4 * np.log(0.5), 0.0, "en"), Decoded((4,), 2 * np.log(0.25), 0.0, "en")]
    assert confidence(decoded[:1]) == pytest.approx(0.5)
    assert confidence(decoded) == pytest.approx((0.5**4 * 0.25**2) ** (1 / 6))
    assert confidence([]) == 0.0


class Reader:
    """Stands in for the decoder: a window is its own samples, and a word a run of one value, word k that of k + 1.

    As Whisper does, it closes a word that ends within the window with a timestamp, and leaves one open that the window
    cuts off. Words whose beginning was cut off are heard as something else.
    """

    def __init__(self, checkpoint, **_) -> None:
        self.tokens = checkpoint.tokens

    def encode(self, mels):
        return mels

    def languages(self, states):
        return ["en"] * len(states)

    def decode(self, states, languages, *, beam, timestamps):
        return [self._window(np.rint(state).astype(int)) for state in states]

    def _window(self, values) -> Decoded:
        changes = np.flatnonzero(np.diff(values)) + 1
        runs = np.split(values, changes)
        starts = [0, *changes]
        ids: list[int] = []
        for start, run in zip(starts, runs, strict=True):
            if not run[0]:
                continue
            stamps = [self.tokens.first_stamp + round(place / RATE / 0.02) for place in (start, start + len(run))]
            whole = start + len(run) < len(values)
            ids += [
                stamps[0],
                *self.tokens.encode(f"w{run[0] - 1}" if whole else "cut"),
                *(stamps[1:] if whole else ()),
            ]
        if (
            len(ids) > 1 and ids[-1] < self.tokens.first_stamp
        ):  # an open word follows a pair, as Whisper's rules have it
            place = max(k for k, token in enumerate(ids) if token >= self.tokens.first_stamp)
            ids.insert(place, ids[place])
        return Decoded(tuple(ids), -0.1 * len(ids), 0.0, "en")


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_or_repeated_at_the_seams(small, seed, monkeypatch) -> None:
    rng = np.random.default_rng(seed)
    parts, expected, now = [], [], 0.0
    for k in range(60):
        pause, length = (round(float(rng.uniform(*bounds)) / 0.02) * 0.02 for bounds in ((0.1, 1.5), (0.3, 4.0)))
        parts += [np.zeros(round(pause * RATE)), np.full(round(length * RATE), k + 1.0)]
        expected.append((now + pause, now + pause + length, f"w{k}"))
        now += pause + length
    recording = np.concatenate([*parts, np.zeros(RATE // 2)]).astype(np.float32)
    monkeypatch.setattr("headstart.speech.recogniser.Decoder", Reader)
    monkeypatch.setattr("headstart.speech.recogniser.listen", lambda path: recording)
    monkeypatch.setattr("headstart.speech.recogniser.log_mel", lambda samples, bands: samples)
    heard = next(Recogniser(small, workers=1).transcribe(["x.wav"]))
    assert heard.text == " ".join(word for *_, word in expected)
    found = np.array([(segment.start, segment.end) for segment in heard.segments])
    np.testing.assert_allclose(found, [(start, end) for start, end, _ in expected], atol=0.03)
    assert heard.seconds == pytest.approx(len(recording) / RATE)


def test_silent_windows_are_passed_over(small, monkeypatch) -> None:
    class Doubtful(Reader):
        def decode(self, states, languages, *, beam, timestamps):
            ids = tuple(self.tokens.encode("hm"))
            return [Decoded(ids, -20.0, 0.9, "en")]

    monkeypatch.setattr("headstart.speech.recogniser.Decoder", Doubtful)
    monkeypatch.setattr("headstart.speech.recogniser.listen", lambda path: np.zeros(70 * RATE, np.float32))
    monkeypatch.setattr("headstart.speech.recogniser.log_mel", lambda samples, bands: samples)
    heard = next(Recogniser(small, workers=1).transcribe(["x.wav"]))
    assert (heard.text, heard.segments, heard.confidence, heard.no_speech) == ("", (), 0.0, 0.9)


@pytest.mark.skipif(not bundled.installed("whisper_base") or not DIGITS.is_dir(), reason="no weights or no clips")
def test_whisper_base_finds_the_language() -> None:
    pytest.importorskip("ctranslate2")
    recogniser = Recogniser(bundled.open_bundled("whisper_base"), workers=1)
    digits = np.concatenate([listen(DIGITS / f"{digit}_jackson_9.wav") for digit in range(10)])
    heard = next(recogniser.from_features([recogniser.features(digits)], beam=1))
    assert heard.language == "en"
    assert "".join(letter for letter in heard.text if letter.isdigit()) == "0123456789"


def test_listening_says_what_is_wrong(tmp_path) -> None:
    with pytest.raises(ItemError):
        listen(tmp_path / "none.wav")
