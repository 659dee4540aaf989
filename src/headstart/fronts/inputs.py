"""A window of samples becomes what a sound source's graph is fed: itself, or one of three spectrograms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headstart.fronts import mel
from headstart.fronts.spectrum import Samples, chunks, frames, hann, powers
from headstart.sources.base import SoundInput

Mel = NDArray[np.float32]

# Resemblyzer lifts quiet speech to this loudness, and leaves loud speech as it is.
_GE2E_LOUDNESS = 10 ** (-30 / 20)
# What Whisper clamps power at, and how many decades below the loudest it looks.
_LEAST_POWER, _DECADES = 1e-10, 8.0
# Kaldi's floor: the spacing of float32 at 1.
_KALDI_FLOOR = float(np.finfo(np.float32).eps)
_PREEMPHASIS = 0.97
# wav2vec 2.0's extractor adds it to a variance.
_VARIANCE_FLOOR = 1e-7


def prepare(samples: Samples, how: SoundInput) -> dict[str, NDArray[np.float32]]:
    """The graph's input for one window.

    Args:
        samples: (t,) float32, mono, at how.rate, t > 0.

    Returns:
        "wave": (1, t), or "mel": (1, bands, frames), float32.
    """
    samples = np.asarray(samples, np.float32)
    if how.standardise:
        samples = _standard(samples)
    samples = _at_least(samples, how.shortest)
    if how.front == "wave":
        return {"wave": _scaled(samples, how)[None]}
    return {"mel": _scaled(_FRONTS[how.front](samples, how), how)[None]}


def whisper(samples: Samples, how: SoundInput) -> Mel:
    """(bands, t // hop) log-mel spectrogram of Radford et al. 2022 (2212.04356), of t samples: 25 ms each 10 ms.

    With how.frames, zeros follow the samples, or what is too long is cut, as Whisper itself does with 30 s.
    """
    length, hop = _sizes(how.rate)
    if how.frames:
        samples = _at_least(samples[: how.frames * hop], how.frames * hop)
    # The reflection needs more samples than it adds.
    samples = _at_least(samples, max(hop, length // 2 + 1))
    framed = frames(_reflected(samples, length // 2), length, hop)[: len(samples) // hop]
    power = _mel_powers(framed, hann(length), length, mel.slaney(how.rate, length, how.bands))
    logs = np.log10(np.maximum(power, _LEAST_POWER, out=power), out=power)
    np.maximum(logs, logs.max() - np.float32(_DECADES), out=logs)
    logs += np.float32(4)
    logs *= np.float32(0.25)
    return logs


def ge2e(samples: Samples, how: SoundInput) -> Mel:
    """(bands, 1 + t // hop) mel power, without a logarithm, as Resemblyzer makes it of speech for GE2E (1710.10467).

    Its `normalize_volume` comes first; its removal of pauses is left out.
    """
    length, hop = _sizes(how.rate)
    loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    if 0 < loudness < _GE2E_LOUDNESS:
        samples = samples * np.float32(_GE2E_LOUDNESS / loudness)
    framed = frames(np.pad(samples, length // 2), length, hop)
    return _cut(_mel_powers(framed, hann(length), length, mel.slaney(how.rate, length, how.bands)), how.frames)


def ast(samples: Samples, how: SoundInput) -> Mel:
    """(bands, frames) Kaldi's log-mel filter banks as Gong et al. 2021 (2104.01778) take them: no frame is padded."""
    length, hop = _sizes(how.rate)
    size = 1 << (length - 1).bit_length()
    filters, taper = mel.kaldi(how.rate, size, how.bands), hann(length, periodic=False)
    parts = []
    for part in chunks(frames(_at_least(samples, length), length, hop)):
        part -= part.mean(axis=1, keepdims=True)
        part[:, 1:] -= np.float32(_PREEMPHASIS) * part[:, :-1]
        part[:, 0] *= np.float32(1 - _PREEMPHASIS)
        part *= taper
        parts.append(filters @ powers(part, size).T)
    power = np.concatenate(parts, axis=1)
    return _cut(np.log(np.maximum(power, np.float32(_KALDI_FLOOR))), how.frames)


_FRONTS: dict[str, Callable[[Samples, SoundInput], Mel]] = {"whisper": whisper, "ge2e": ge2e, "ast": ast}


def _sizes(rate: int) -> tuple[int, int]:
    """Samples of 25 ms and of 10 ms."""
    return rate * 25 // 1000, rate // 100


def _mel_powers(framed: Samples, taper: Samples, size: int, filters: object) -> Mel:
    """(bands, n) of n frames."""
    parts = []
    for part in chunks(framed):
        part *= taper
        parts.append(filters @ powers(part, size).T)  # type: ignore[operator]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _at_least(samples: Samples, length: int) -> Samples:
    return samples if len(samples) >= length else np.pad(samples, (0, length - len(samples)))


def _reflected(samples: Samples, more: int) -> Samples:
    """`more` samples before and after, mirrored at the ends, which are not repeated. np.pad takes ten times as long."""
    return np.concatenate([samples[more:0:-1], samples, samples[-2 : -2 - more : -1]])


def _cut(found: Mel, wanted: int) -> Mel:
    """(bands, wanted): zeros follow, or what is too long is cut; all as it is for 0."""
    if not wanted or found.shape[1] == wanted:
        return found
    return np.pad(found[:, :wanted], ((0, 0), (0, max(0, wanted - found.shape[1]))))


def _standard(samples: Samples) -> Samples:
    """Mean 0 and variance 1, as wav2vec 2.0's extractor has it."""
    exact = samples.astype(np.float64)
    exact -= exact.mean()
    return np.asarray(exact / np.sqrt(exact.var() + _VARIANCE_FLOOR), np.float32)


def _scaled(values: NDArray[np.float32], how: SoundInput) -> NDArray[np.float32]:
    if (how.mean, how.std) == (0.0, 1.0):
        return values
    return (values - np.float32(how.mean)) / np.float32(how.std)
