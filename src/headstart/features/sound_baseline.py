"""What a sound shows without anything learned before: statistics of log-mel bands, MFCC and simple descriptors.

These columns feed the no-transfer baseline. Mel-frequency cepstral coefficients follow Davis and Mermelstein 1980 (DCT
of log-mel bands), their deltas Furui 1986 (slopes of a regression over five frames).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.features.spans import Spans
from headstart.fronts import mel
from headstart.fronts.spectrum import chunks, frames, hann, powers

Samples = NDArray[np.float32]

RATE = 16_000
_BLOCK = 80  # samples
_LENGTH, _HOP, _SIZE = 5 * _BLOCK, 2 * _BLOCK, 512
_BANDS, _CEPSTRA, _PARTS = 64, 20, 4
_SHARES = (0.1, 0.5, 0.9)
_LEAST_POWER = 1e-10
# Bins whose power is summed together, on the way to the rolloff.
_RUN = 16
# Frames this many decibels below the loudest count as pauses; this share of the power lies below the rolloff.
_PAUSE, _ROLLOFF = 40.0, 0.85
_SHAPES = ("zero crossings", "centroid", "bandwidth", "rolloff", "flatness", "level")


def describe(sounds: Sequence[Samples]) -> NDArray[np.float32]:
    """The columns of `names()` for n sounds; what is said of one depends on no other.

    Short sounds are described several at a time: alone, what the calls cost is most of the time.

    Args:
        sounds: (t,) float32 each, mono, at RATE, t > 0.

    Returns:
        (n, 571) float32, finite: log-mel in decibels 384, cepstra 160, shapes of the spectrum 24, time 3.
    """
    heard = [one if len(one) >= _LENGTH else np.pad(one, (0, _LENGTH - len(one))) for one in sounds]
    framed = [frames(one, _LENGTH, _HOP) for one in heard]
    spans = Spans([len(one) for one in framed])
    analysed = np.empty((_BANDS + len(_SHAPES), spans.total), np.float32)
    _analyse(framed, analysed[:_BANDS], analysed[_BANDS + 1 :])
    analysed[_BANDS] = _crossings(heard, spans)
    cepstra = mfcc(analysed[:_BANDS])
    mean = spans.mean(analysed)
    deviation = spans.deviation(analysed, mean)
    low, middle, high = spans.percentiles(analysed, _SHARES)
    over_time = [mean, deviation, low, middle, high]
    columns = [one[:_BANDS] for one in over_time] + [_steps(analysed[:_BANDS], spans)]
    columns += [*_moments(cepstra, spans), *spans.parts(cepstra, _PARTS)]
    columns += [one[_BANDS:] for one in (mean, deviation, low, high)]
    columns.append(_timing(analysed[-1], spans))
    found: NDArray[np.float32] = np.concatenate(columns).T.astype(np.float32, order="C")
    return found


@cache
def names() -> tuple[str, ...]:
    """The names of the columns of `describe`, in order."""
    statistics = ("mean", "std", *(f"p{100 * share:.0f}" for share in _SHARES), "step")
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


def _analyse(framed: Sequence[Samples], bands: NDArray[np.float32], shapes: NDArray[np.float32]) -> None:
    """Fill in (64, N) log-mel bands in decibels and (5, N) shapes of the spectrum, of N frames in all."""
    taper, filters = hann(_LENGTH), _filters()
    at = 0
    for part in chunks(*framed):
        part *= taper
        power = powers(part, _SIZE)
        here = slice(at, at + len(part))
        found = filters @ power.T
        bands[:, here] = _decibels(found[:_BANDS])
        shapes[:, here] = _shapes(power, found[_BANDS:])
        at += len(part)


@cache
def _filters() -> Any:
    """(64 + 17, 257) CSR: the mel bands, then the sums of 16 bins each; the last one's is of one."""
    from scipy.sparse import csr_array, vstack

    bins = np.arange(_SIZE // 2 + 1)
    sums = csr_array((np.ones(len(bins), np.float32), (bins // _RUN, bins)))
    return vstack([mel.slaney(RATE, _SIZE, _BANDS), sums], format="csr")


def _crossings(heard: Sequence[Samples], spans: Spans) -> NDArray[np.float32]:
    """(N,) share of the neighbours in a frame between which the sign changes.

    They are counted in blocks, of which a frame is five, and its hop two.
    """
    whole = [_LENGTH + _HOP * (count - 1) for count in spans.counts.tolist()]
    samples = np.concatenate([one[:length] for one, length in zip(heard, whole, strict=True)])
    changes = np.zeros(len(samples), bool)  # between a sample and the next
    np.less(samples[1:] * samples[:-1], 0, out=changes[:-1])
    blocks = changes.view(np.uint8).reshape(-1, _BLOCK)
    before = np.zeros(len(blocks) + 1, np.int64)
    np.cumsum(blocks.sum(axis=1, dtype=np.uint8), out=before[1:])
    # A sound of n frames has 2 n + 3 blocks.
    first = 2 * np.arange(spans.total) + 3 * spans.spread(np.arange(len(spans.counts)))
    counts = before[first + 5] - before[first] - changes[(first + 5) * _BLOCK - 1]
    return np.asarray(counts / (_LENGTH - 1), np.float32)


def _shapes(power: NDArray[np.float32], runs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(5, n), of (n, bins) and (17, n) sums of _RUN bins: centroid, bandwidth, rolloff (kHz), flatness, level (dB)."""
    kilohertz, least = _bins()
    reached = np.cumsum(runs, axis=0)
    reached += least
    power = power + np.float32(_LEAST_POWER)
    total = reached[-1]
    centroid = np.einsum("nf,f->n", power, kilohertz) / total
    off = kilohertz - centroid[:, None]
    off *= off
    bandwidth = np.sqrt(np.einsum("nf,nf->n", power, off) / total)
    rolloff = kilohertz[_first_above(power, reached, np.float32(_ROLLOFF) * total)]
    level = _decibels(total / len(kilohertz))
    flatness = _decibels(power).sum(axis=1) / len(kilohertz) - level
    return np.stack([centroid, bandwidth, rolloff, flatness, level])


@cache
def _bins() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(257,) kHz of the bins, and (17, 1) what a least power in each adds to all up to the end of each run."""
    bins = np.arange(_SIZE // 2 + 1)
    ends = np.minimum((bins[::_RUN] + _RUN), len(bins))
    return (bins * (RATE / _SIZE / 1000)).astype(np.float32), (ends * _LEAST_POWER).astype(np.float32)[:, None]


def _first_above(
    power: NDArray[np.float32], reached: NDArray[np.float32], limit: NDArray[np.float32]
) -> NDArray[np.int64]:
    """(n,) the first bin with which the power of (n, bins) reaches (n,) limits; (17, n) is reached after each run.

    Only the run where it happens is summed bin by bin: a cumulative sum over all bins takes half of `_shapes`.
    """
    here = np.arange(len(power))
    run = (reached < limit).sum(axis=0)
    before = np.where(run > 0, reached[run - 1, here], np.float32(0))
    bins = np.minimum(run[:, None] * _RUN + np.arange(_RUN), power.shape[1] - 1)
    within = np.cumsum(power[here[:, None], bins], axis=1) + before[:, None]
    found: NDArray[np.int64] = np.minimum(run * _RUN + (within < limit[:, None]).sum(axis=1), power.shape[1] - 1)
    return found


def _steps(bands: NDArray[np.float32], spans: Spans) -> NDArray[np.float64]:
    """(64, n): the mean step from frame to frame, the last one's being none."""
    steps = np.diff(bands, axis=1, append=bands[:, -1:])
    steps[:, spans.starts[1:] - 1] = 0
    return spans.mean(np.abs(steps, out=steps))


def _moments(cepstra: NDArray[np.float32], spans: Spans) -> list[NDArray[np.float64]]:
    """(20, n) each: mean and deviation of the coefficients, and deviations of their deltas and deltas' deltas."""
    first = spans.slopes(cepstra)
    values = np.concatenate([cepstra, first, spans.slopes(first)])
    mean = spans.mean(values)
    return [mean[:_CEPSTRA], spans.deviation(values, mean)]


def _timing(level: NDArray[np.float32], spans: Spans) -> NDArray[np.float64]:
    """(3, n): log2 of the seconds, where in time the middle of the power lies (0 to 1), and the share of pauses."""
    below = level - spans.spread(np.maximum.reduceat(level, spans.starts))
    power = np.float32(10) ** (below / 10)
    middle = spans.sum(power * spans.places()) / spans.sum(power) / np.maximum(1, spans.counts - 1)
    return np.stack([np.log2(spans.counts * (_HOP / RATE)), middle, spans.mean(below < -_PAUSE)])


def _decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.maximum(power, np.float32(_LEAST_POWER))
    np.log10(found, out=found)
    found *= np.float32(10)
    return found
