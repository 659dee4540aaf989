"""What a sound shows without anything learned before: statistics of log-mel bands, MFCC and simple descriptors.

These columns feed the no-transfer baseline. Mel-frequency cepstral coefficients follow Davis and Mermelstein 1980 (DCT
of log-mel bands), their deltas Furui 1986 (slopes of a regression over five frames).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from headstart.fronts import mel
from headstart.fronts.spectrum import chunks, frames, hann, powers

Samples = NDArray[np.float32]

RATE = 16_000
_LENGTH, _HOP, _SIZE = 400, 160, 512
_BANDS, _CEPSTRA, _PARTS = 64, 20, 4
_PERCENTILES = (10, 50, 90)
_LEAST_POWER = 1e-10
# Frames this many decibels below the loudest count as pauses; this share of the power lies below the rolloff.
_PAUSE, _ROLLOFF = 40.0, 0.85
_SHAPES = ("zero crossings", "centroid", "bandwidth", "rolloff", "flatness", "level")


def describe(samples: Samples) -> NDArray[np.float32]:
    """The columns of `names()` for one sound.

    Args:
        samples: (t,) float32, mono, at RATE, t > 0.

    Returns:
        (571,) float32, finite: log-mel in decibels 384, cepstra 160, shapes of the spectrum 24, time 3.
    """
    if len(samples) < _LENGTH:
        samples = np.pad(samples, (0, _LENGTH - len(samples)))
    bands, shapes = _analysed(samples)
    cepstra = mfcc(bands)
    level = shapes[-1]
    columns = [_over_time(bands), _moments(cepstra), _parts(cepstra), _spread(shapes), _timing(level)]
    found: NDArray[np.float32] = np.concatenate(columns).astype(np.float32)
    return found


@cache
def names() -> tuple[str, ...]:
    """The names of the columns of `describe`, in order."""
    statistics = ("mean", "std", *(f"p{p}" for p in _PERCENTILES), "step")
    bands = [f"logmel{b}.{s}" for s in statistics for b in range(_BANDS)]
    cepstra = [f"mfcc{c}.{s}" for s in ("mean", "std", "delta", "delta2") for c in range(_CEPSTRA)]
    parts = [f"mfcc{c}.part{p}" for p in range(_PARTS) for c in range(_CEPSTRA)]
    shapes = [f"{shape}.{s}" for s in ("mean", "std", "p10", "p90") for shape in _SHAPES]
    return (*bands, *cepstra, *parts, *shapes, "length", "middle", "pauses")


def mfcc(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """(20, n) of (64, n) log-mel bands: the orthonormal DCT-II over bands, its first coefficients."""
    from scipy import fft

    found = fft.dct(bands, type=2, axis=0, norm="ortho")[:_CEPSTRA]
    return np.asarray(found, np.float32)


def deltas(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, n) slopes over five frames, of (k, n): sum_j j (c[t + j] - c[t - j]) / (2 sum_j j^2), ends repeated."""
    first, last = values[:, :1], values[:, -1:]
    padded = np.concatenate([first, first, values, last, last], axis=1)
    near, far = padded[:, 3:-1] - padded[:, 1:-3], padded[:, 4:] - padded[:, :-4]
    return np.asarray((near + 2 * far) / 10, np.float32)


def _analysed(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(64, n) log-mel bands in decibels, and (6, n) the shapes of the spectrum, of n frames."""
    taper, filters = hann(_LENGTH), mel.slaney(RATE, _SIZE, _BANDS)
    bands, shapes = [], []
    for part in chunks(frames(samples, _LENGTH, _HOP)):
        part *= taper
        power = powers(part, _SIZE)
        bands.append(_decibels(filters @ power.T))
        shapes.append(_shapes(power))
    spectral = np.concatenate(shapes, axis=1)
    return np.concatenate(bands, axis=1), np.concatenate([_crossings(samples)[None], spectral])


def _crossings(samples: Samples) -> NDArray[np.float32]:
    """(n,) share of the neighbours in a frame between which the sign changes, of n frames."""
    before = np.zeros(len(samples), np.int32)  # the changes up to each sample
    np.cumsum(samples[1:] * samples[:-1] < 0, out=before[1:])
    first = before[: len(samples) - _LENGTH + 1 : _HOP]
    last = before[_LENGTH - 1 :: _HOP]
    return np.asarray((last - first) / (_LENGTH - 1), np.float32)


def _shapes(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """(5, n), of (n, bins): centroid, bandwidth, rolloff (kHz), flatness and level (decibels)."""
    bins = power.shape[1]
    kilohertz = (np.arange(bins) * (RATE / _SIZE / 1000)).astype(np.float32)
    power = power + np.float32(_LEAST_POWER)
    total = power.sum(axis=1)
    centroid = np.einsum("nf,f->n", power, kilohertz) / total
    off = kilohertz - centroid[:, None]
    bandwidth = np.sqrt(np.einsum("nf,nf,nf->n", power, off, off) / total)
    below = np.cumsum(power, axis=1) < np.float32(_ROLLOFF) * total[:, None]
    rolloff = below.argmin(axis=1) * np.float32(RATE / _SIZE / 1000)
    level = _decibels(total / bins)
    flatness = np.float32(10) * np.log10(power).mean(axis=1) - level
    return np.stack([centroid, bandwidth, rolloff, flatness, level])


def _over_time(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """(384,): mean, deviation, percentiles and mean step from frame to frame, of each band."""
    ordered = np.sort(bands, axis=1)
    places = [round(p / 100 * (bands.shape[1] - 1)) for p in _PERCENTILES]
    steps = np.abs(np.diff(bands, axis=1, append=bands[:, -1:])).mean(axis=1)
    return np.concatenate([bands.mean(axis=1), bands.std(axis=1), *(ordered[:, i] for i in places), steps])


def _moments(cepstra: NDArray[np.float32]) -> NDArray[np.float32]:
    """(80,): mean and deviation of the coefficients, and deviations of their deltas and deltas' deltas."""
    first = deltas(cepstra)
    return np.concatenate([cepstra.mean(axis=1), *(one.std(axis=1) for one in (cepstra, first, deltas(first)))])


def _parts(cepstra: NDArray[np.float32]) -> NDArray[np.float32]:
    """(80,): means of the coefficients in each part of the time, one after another."""
    n = cepstra.shape[1]
    starts = [n * part // _PARTS for part in range(_PARTS)]
    parts = [cepstra[:, start : max(start + 1, n * (part + 1) // _PARTS)] for part, start in enumerate(starts)]
    return np.concatenate([part.mean(axis=1) for part in parts])


def _spread(shapes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(24,): mean, deviation, and 10th and 90th percentile over time."""
    ordered, last = np.sort(shapes, axis=1), shapes.shape[1] - 1
    ends = [ordered[:, round(share * last)] for share in (0.1, 0.9)]
    return np.concatenate([shapes.mean(axis=1), shapes.std(axis=1), *ends])


def _timing(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3,): log2 of the seconds, where in time the middle of the power lies (0 to 1), and the share of pauses."""
    n = len(level)
    power = 10 ** ((level - level.max()) / 10)
    middle = float((power * np.arange(n)).sum() / power.sum()) / max(1, n - 1)
    return np.array([np.log2(n * _HOP / RATE), middle, np.mean(level < level.max() - _PAUSE)], np.float32)


def _decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.float32(10) * np.log10(np.maximum(power, np.float32(_LEAST_POWER)))
    return found
