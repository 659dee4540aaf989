"""Mel filter banks: triangles over the bins of a power spectrum, equally spaced as the ear hears pitch.

Applied as sparse matrices: a bin lies under two triangles at most, and no thread of a linear algebra library is woken.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# Slaney's scale (Auditory Toolbox, 1998): linear to 1000 Hz at 200/3 Hz a mel, then 27 mels for a factor of 6.4.
_HERTZ_A_MEL, _BREAK = 200 / 3, 1000.0
_LOG_STEP = np.log(6.4) / 27


@cache
def slaney(rate: int, size: int, bands: int) -> Any:
    """(bands, size // 2 + 1) CSR float32: triangles in Hz from 0 to rate / 2, of area 1 each, as librosa has them.

    Args:
        rate: Hz.
        size: of the Fourier transform.
    """
    top = _slaney_mel(np.array([rate / 2]))[0]
    corners = _slaney_hertz(np.linspace(0.0, top, bands + 2))
    triangles = _triangles(np.linspace(0, rate / 2, size // 2 + 1), corners)
    return _sparse(triangles * (2 / (corners[2:] - corners[:-2]))[:, None])


@cache
def kaldi(rate: int, size: int, bands: int, low: float = 20.0) -> Any:
    """(bands, size // 2 + 1) CSR float32: triangles in mels from `low` Hz to rate / 2, of height 1, as Kaldi has them.

    Mels are 1127 ln(1 + Hz / 700).
    """
    bins, ends = np.arange(size // 2 + 1) * (rate / size), np.array([low, rate / 2])
    mels, (first, last) = 1127 * np.log1p(bins / 700), 1127 * np.log1p(ends / 700)
    return _sparse(_triangles(mels, np.linspace(first, last, bands + 2)))


def _triangles(places: Numbers, corners: Numbers) -> Numbers:
    """(bands, bins): the triangle of band b rises from corner b to 1 at corner b + 1 and falls to 0 at corner b + 2."""
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (places - left) / (middle - left), (right - places) / (right - middle)
    found: Numbers = np.maximum(0, np.minimum(rising, falling))
    return found


def _slaney_mel(hertz: Numbers) -> Numbers:
    above = np.log(np.maximum(hertz, _BREAK) / _BREAK) / _LOG_STEP
    return np.where(hertz < _BREAK, hertz / _HERTZ_A_MEL, _BREAK / _HERTZ_A_MEL + above)


def _slaney_hertz(mels: Numbers) -> Numbers:
    start = _BREAK / _HERTZ_A_MEL
    return np.where(mels < start, mels * _HERTZ_A_MEL, _BREAK * np.exp(_LOG_STEP * np.maximum(mels - start, 0)))


def _sparse(triangles: Numbers) -> Any:
    from scipy.sparse import csr_array

    return csr_array(triangles.astype(np.float32))
