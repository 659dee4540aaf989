"""Short-time power spectra in float32: overlapping frames, a taper, a real Fourier transform."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# Frames that are transformed together: few enough that each step finds the last one's result in the core's own cache.
_CHUNK = 128


def frames(samples: Samples, length: int, hop: int) -> Samples:
    """(n, length): every frame that lies wholly in (t,) samples, t >= length, `hop` apart. A view.

    NumPy checks that it stays inside; its sliding_window_view takes twenty times as long.
    """
    samples = np.ascontiguousarray(samples, np.float32)
    strides = (hop * samples.itemsize, samples.itemsize)
    return np.ndarray((1 + (len(samples) - length) // hop, length), np.float32, samples.data, strides=strides)


def chunks(*framed: Samples) -> Iterator[Samples]:
    """Some frames of all at a time, one after another, copied, so that they may be changed in place."""
    pieces: list[Samples] = []
    room = _CHUNK
    for one in framed:
        start = 0
        while start < len(one):
            pieces.append(one[start : start + room])
            start += len(pieces[-1])
            room -= len(pieces[-1])
            if not room:
                yield np.concatenate(pieces)
                pieces, room = [], _CHUNK
    if pieces:
        yield np.concatenate(pieces)


def powers(tapered: Samples, size: int) -> Samples:
    """(n, size // 2 + 1) squared magnitudes of the Fourier transforms of (n, length) frames, zeros added up to size."""
    from scipy import fft  # keeps float32, in every version of NumPy

    found = fft.rfft(tapered, n=size, axis=1)
    power: Samples = np.square(found.real)
    power += np.square(found.imag)
    return power


@cache
def hann(length: int, *, periodic: bool = True) -> Samples:
    """(length,) the raised cosine; periodic: the first `length` values of the one that is one longer."""
    steps = np.arange(length) / (length if periodic else length - 1)
    taper: Samples = (0.5 - 0.5 * np.cos(2 * np.pi * steps)).astype(np.float32)
    taper.flags.writeable = False  # it is shared
    return taper
