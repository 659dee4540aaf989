"""The probe's sounds: eight kinds that a good source tells apart, made from numbers alone, each of its own length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headstart.sources.base import SoundInput

Samples = NDArray[np.float64]
Generator = np.random.Generator
Kind = Callable[[Samples, float, Generator], Samples]

SOUNDS = 12  # of each kind
SECONDS = (1.0, 3.0)
_HISS = 0.01  # of every sound: nothing recorded is free of noise


def sounds(how: SoundInput, seed: int) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """SOUNDS of each kind, shuffled: (t,) float32 at how.rate, of SECONDS or the window where that is shorter.

    No two need be of one length: an engine that prepares itself anew for each length is timed as users would find it.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(_KINDS)), SOUNDS))
    longest = int(how.rate * how.seconds)
    low, high = (max(1, min(int(how.rate * seconds), longest)) for seconds in SECONDS)
    return [_made(_KINDS[label], int(rng.integers(low, high + 1)), how.rate, rng) for label in labels], labels


def _made(kind: Kind, length: int, rate: int, rng: Generator) -> NDArray[np.float32]:
    """One sound: of some loudness, faded in and out, with a little hiss."""
    top = min(rate / 2, 8_000.0)  # Hz
    wave = kind(np.arange(length) / rate, top, rng)
    fade = np.minimum(1.0, np.minimum(np.arange(length) + 1, np.arange(length, 0, -1)) / max(1, length // 20))
    wave = fade * wave / max(float(np.abs(wave).max()), 1e-9) + _HISS * rng.standard_normal(length)
    return (rng.uniform(0.1, 0.7) * wave).astype(np.float32)


def _tone(t: Samples, top: float, rng: Generator) -> Samples:
    return np.asarray(np.sin(2 * np.pi * rng.uniform(0.02, 0.3) * top * t + rng.uniform(0, 6)))


def _harmonics(t: Samples, top: float, rng: Generator) -> Samples:
    """A buzz: a low tone and its overtones, with vibrato."""
    pitch = rng.uniform(0.01, 0.04) * top
    phase = 2 * np.pi * pitch * t + rng.uniform(1, 4) * np.sin(2 * np.pi * rng.uniform(4, 7) * t)
    overtones = np.arange(1, 9)[:, None]
    return np.asarray((np.sin(overtones * phase) / overtones).sum(axis=0))


def _rising(t: Samples, top: float, rng: Generator) -> Samples:
    low, high = rng.uniform(0.02, 0.1) * top, rng.uniform(0.4, 0.8) * top
    return np.asarray(np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * t[-1] + 1e-9))))


def _falling(t: Samples, top: float, rng: Generator) -> Samples:
    return _rising(t, top, rng)[::-1]


def _low_noise(t: Samples, top: float, rng: Generator) -> Samples:
    return _band(t, 0.0, rng.uniform(0.05, 0.15) * top, rng)


def _high_noise(t: Samples, top: float, rng: Generator) -> Samples:
    low = rng.uniform(0.4, 0.6) * top
    return _band(t, low, low + 0.3 * top, rng)


def _clicks(t: Samples, top: float, rng: Generator) -> Samples:
    """Short bursts, some a second, that ring and die away."""
    since = (t + rng.uniform(0, 1)) % (1 / rng.uniform(3, 9))
    return np.exp(-since * rng.uniform(80, 200)) * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * top * since)


def _trembling(t: Samples, top: float, rng: Generator) -> Samples:
    """Noise whose loudness swells and falls."""
    swell = 1 + np.sin(2 * np.pi * rng.uniform(6, 16) * t)
    return swell * _band(t, 0.1 * top, 0.5 * top, rng)


_KINDS: tuple[Kind, ...] = (_tone, _harmonics, _rising, _falling, _low_noise, _high_noise, _clicks, _trembling)


def _band(t: Samples, low: float, high: float, rng: Generator) -> Samples:
    """Noise between two frequencies, Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    step = t[1] if len(t) > 1 else 1.0
    hertz = np.fft.rfftfreq(len(t), step)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.fft.irfft(spectrum, len(t))
