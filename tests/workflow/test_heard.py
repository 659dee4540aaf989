"""What is said of sounds: whose rate rules, and what may be wrong with the recordings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from headstart.features.sound_facts import beside_facts, facts, facts_row
from headstart.features.sounds import Sound
from headstart.sources.base import SoundInput
from headstart.workflow.heard import remarks_on_sounds, remarks_on_speech

SOURCE = SimpleNamespace(name="ears", input=SoundInput(16_000, 30.0, front="whisper", bands=80))


def described(*clips: tuple[int, float, float, float]) -> np.ndarray:
    """(n, 5 + 2) float16, of rate, seconds, level (full scale 1) and share clipped."""
    rows = [np.concatenate([facts_row(Sound(*clip, {})), [7, 8]]) for clip in clips]
    return np.array(rows, np.float16)


def test_facts_survive_half_precision():
    rates = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 767_999]
    rows = described(*((rate, 5.25, 0.1, 0.25) for rate in rates))
    found = facts(rows)
    assert found.rates.tolist() == rates
    assert set(found.seconds) == {5.25}
    np.testing.assert_allclose(found.levels, -20, atol=0.01)
    assert set(found.clipped) == {0.25}
    assert beside_facts(rows).tolist() == [[7, 8]] * len(rates)


def test_the_rate_of_the_source_rules_and_it_is_said():
    clips = [(44_100, 5.0, 0.1, 0.0)] * 1_250
    assert remarks_on_sounds(described(*clips), [SOURCE]) == (
        "ears hears 16,000 Hz: 1,250 clips of 44,100 Hz are resampled; windows of up to 30 s",
    )


def test_mixed_rates_and_long_clips_are_counted():
    clips = [(44_100, 5.0, 0.1, 0.0)] * 3 + [(8_000, 31.0, 0.1, 0.0)] + [(16_000, 95.0, 0.1, 0.0)] * 2
    (note,) = remarks_on_sounds(described(*clips), [SOURCE])
    assert note == (
        "ears hears 16,000 Hz: 3 clips of 44,100 Hz and 1 clip of 8,000 Hz are resampled; "
        "windows of up to 30 s: 3 clips are longer, and cut into several"
    )
    many = [(rate, 1.0, 0.1, 0.0) for rate in (8_000, 11_025, 22_050, 32_000, 44_100)]
    assert "and 2 clips of other rates are resampled" in remarks_on_sounds(described(*many), [SOURCE])[0]


def test_nothing_is_resampled_where_the_rates_agree():
    (note,) = remarks_on_sounds(described((16_000, 5.0, 0.1, 0.0)), [SOURCE])
    assert note == "ears hears 16,000 Hz: the rate of all clips; windows of up to 30 s"


def test_faint_and_clipped_recordings_are_counted():
    clips = [(16_000, 5.0, 1e-4, 0.0)] * 2 + [(16_000, 5.0, 0.5, 0.02)] + [(16_000, 5.0, 0.5, 1e-5)]
    notes = remarks_on_sounds(described(*clips), [])
    assert notes == (
        "2 clips are nearly silent (below -60 dB) and 1 clip is clipped (0.1% of the samples or more at full scale): "
        "listen to some of them",
    )


def test_of_speech_the_same_is_said_but_for_windows():
    found = facts(described((8_000, 5.0, 1e-4, 0.0), (16_000, 5.0, 0.5, 0.02)))
    assert remarks_on_speech(found, "ears", 16_000) == (
        "ears hears 16,000 Hz: 1 clip of 8,000 Hz is resampled",
        "1 clip is nearly silent (below -60 dB) and 1 clip is clipped (0.1% of the samples or more at full scale): "
        "listen to some of them",
    )
