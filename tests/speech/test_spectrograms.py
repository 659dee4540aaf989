"""Spectrograms on disk, and examples of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.speech import spectrograms
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Examples
from headstart.speech.listening import listen, log_mel
from headstart.speech.spectrograms import HeardExamples, Spectrograms


def made(clips: list[Path]) -> Spectrograms:
    return Spectrograms(clips, [path.stem for path in clips], np.ones(len(clips)), 80)


def test_they_are_computed_once(clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    expected = log_mel(listen(clips[3]), 80)
    first = made(clips)[3]
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, expected, atol=1e-3)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    monkeypatch.setattr(spectrograms, "log_mel", None)  # must not be needed again
    np.testing.assert_array_equal(made(clips)[3], first)


def test_without_a_disk_they_are_computed_again(
    clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path))
    monkeypatch.setenv("HEADSTART_CACHE_BYTES", "0")
    found = made(clips)
    np.testing.assert_array_equal(found[1], found[1])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_examples_of_them_have_the_tokens_of_others(short: Checkpoint, mels) -> None:
    class States:
        seconds = mels.seconds

        def __getitem__(self, i: int) -> np.ndarray:
            return np.zeros((60, 32), np.float32)

    texts = [f"text {k}" for k in range(12)]
    rows, stamped = np.array([3, 0, 7]), np.array([True, False, True])
    ours = HeardExamples(short, mels, texts, "en").batch(rows, stamped)
    theirs = Examples(short, States(), texts, "en").batch(rows, stamped)
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.states, np.stack([mels[3], mels[0], mels[7]]))
    np.testing.assert_array_equal(ours.counts, np.ones((3, 60)))
