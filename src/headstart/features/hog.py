"""What an image shows without anything learned before: gradients, colours and brightness of a 64 x 64 thumbnail.

These columns feed the no-transfer baseline. Histograms of oriented gradients follow Dalal and Triggs, "Histograms of
oriented gradients for human detection" (CVPR 2005): unsigned gradients in 9 orientations, cells of 8 x 8 pixels, blocks
of 2 x 2 cells with L2-Hys normalisation, and at each pixel the gradient of the channel where it is largest.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Columns = NDArray[np.float32]

SIZE = 64
# So many at a time stay in the processor's cache.
_CHUNK = 8
_CELL, _ORIENTATIONS = 8, 9
_CELLS, _HALF = SIZE // _CELL, SIZE // 2
_BLOCKS = _CELLS - 1
_EPS, _HYSTERESIS = 1e-5, 0.2
# Regions of the colour columns: the whole image, then its quarters row by row.
_REGIONS = ("whole", "top-left", "top-right", "bottom-left", "bottom-right")
_HUES, _SATURATIONS, _VALUES = 8, 3, 3
_COLOURS = _HUES * _SATURATIONS * _VALUES
# Differences of two pixels run from -_WHITE to _WHITE.
_WHITE = 255
_SPAN = 2 * _WHITE + 1
# Colours are rounded to so many bits a channel before their hue, saturation and value are looked up.
_BITS = 6
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def describe(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The columns of `names()` for n RGB thumbnails.

    Args:
        thumbnails: (n, 64, 64, 3) uint8.

    Returns:
        (n, 2233) float32: HOG 1764, colour moments 45, joint HSV 360, grey 64. All in [-1, 1].

    Raises:
        ValueError: another shape or dtype.
    """
    if thumbnails.shape[1:] != (SIZE, SIZE, 3) or thumbnails.dtype != np.uint8:
        raise ValueError(f"thumbnails are {thumbnails.dtype} {thumbnails.shape}; expected uint8 (n, {SIZE}, {SIZE}, 3)")
    described = np.empty((len(thumbnails), len(names())), np.float32)
    for start in range(0, len(thumbnails), _CHUNK):
        planes = np.ascontiguousarray(thumbnails[start : start + _CHUNK].transpose(0, 3, 1, 2))
        columns = [oriented_gradients(planes), _moments(planes), _histograms(planes), _grey_levels(planes)]
        np.concatenate(columns, axis=1, out=described[start : start + _CHUNK])
    return described


def describe_rows(thumbnails: NDArray[np.uint8]) -> NDArray[np.float16]:
    """`describe` in the precision of the cache, (n, d) float16."""
    return describe(thumbnails).astype(np.float16)


@cache
def names() -> tuple[str, ...]:
    """The names of the columns of `describe`, in order."""
    blocks = range(_BLOCKS)
    hog = [
        f"hog.block{row}-{column}.cell{cell}.angle{angle}"
        for row in blocks
        for column in blocks
        for cell in range(4)
        for angle in range(_ORIENTATIONS)
    ]
    moments = [f"{moment}.{c}.{region}" for region in _REGIONS for moment in ("mean", "std", "skew") for c in "rgb"]
    colours = [
        f"hsv{h}-{s}-{v}.{region}"
        for region in _REGIONS
        for h in range(_HUES)
        for s in range(_SATURATIONS)
        for v in range(_VALUES)
    ]
    grey = [f"grey{row}-{column}" for row in range(_CELLS) for column in range(_CELLS)]
    return tuple(hog + moments + colours + grey)


def oriented_gradients(planes: Pixels) -> Columns:
    """(n, 1764) L2-Hys normalised block histograms of (n, 3, 64, 64) images: block row, block column, cell, angle."""
    longest = _longest_gradients(planes)
    angles = (longest & 15).astype(np.intp)
    cells = _cell_of_pixel() + np.arange(len(planes))[:, None, None] * _CELLS**2
    lengths = np.sqrt((longest >> 6).astype(np.float32))
    bins = (cells * _ORIENTATIONS + angles).ravel()
    sums = np.bincount(bins, lengths.ravel(), len(planes) * _CELLS**2 * _ORIENTATIONS).astype(np.float32)
    cells_sums = sums.reshape(-1, _CELLS, _CELLS, _ORIENTATIONS) / np.float32(_CELL**2)
    return _normalised_blocks(cells_sums).reshape(len(planes), -1)


def _longest_gradients(planes: Pixels) -> NDArray[np.int32]:
    """(n, 64, 64) the gradient of the channel where it is longest, the first of equals: squared length << 6 | angle."""
    levels = planes.astype(np.int32)
    codes = np.full(planes.shape, _WHITE * _SPAN + _WHITE, np.intp)  # no gradient: the borders
    codes[:, :, 1:-1] += (levels[:, :, 2:] - levels[:, :, :-2]) * _SPAN
    codes[..., 1:-1] += levels[..., 2:] - levels[..., :-2]
    gradients = _gradient_table().take(codes)  # (n, 3, 64, 64)
    gradients[:, 0] += 2 << 4
    gradients[:, 1] += 1 << 4
    longest: NDArray[np.int32] = gradients.max(axis=1)
    return longest


@cache
def _gradient_table() -> NDArray[np.int32]:
    """(511 * 511,): squared length << 6 | orientation, of each difference down and to the right."""
    step = np.arange(-_WHITE, _WHITE + 1)
    down, right = step[:, None], step[None, :]
    angle = np.arctan2(down, right)
    angle = np.where(angle < 0, angle + np.pi, angle)  # unsigned; pi itself is 0
    orientation = (angle * (_ORIENTATIONS / np.pi)).astype(np.int32) % _ORIENTATIONS
    return ((down**2 + right**2) << 6 | orientation).astype(np.int32).ravel()


@cache
def _cell_of_pixel() -> NDArray[np.intp]:
    """(64, 64)."""
    cell = np.arange(SIZE) // _CELL
    return cell[:, None] * _CELLS + cell


def _normalised_blocks(cells: Columns) -> Columns:
    """(n, 7, 7, 36): overlapping 2 x 2 blocks; L2-Hys is unit length, clipped at 0.2, unit length again."""
    corners = [cells[:, r : r + _BLOCKS, c : c + _BLOCKS] for r in (0, 1) for c in (0, 1)]
    blocks = np.concatenate(corners, axis=3)
    clipped: Columns = np.minimum(blocks / _length(blocks), np.float32(_HYSTERESIS))
    return clipped / _length(clipped)


def _length(blocks: Columns) -> Columns:
    """(..., 1): Euclidean length over the last axis, never zero."""
    length: Columns = np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + np.float32(_EPS**2))
    return length


def _moments(planes: Pixels) -> Columns:
    """(n, 45): mean, standard deviation and signed cube root of the third moment of each channel in each region.

    From sums of powers of the quarters, which float64 holds exactly.
    """
    pixels = planes.astype(np.float64)
    squares = pixels * pixels
    quarters = np.stack([_quarter_sums(power) for power in (pixels, squares, squares * pixels)])  # (3, n, 4, channel)
    sums = np.concatenate([quarters.sum(axis=2, keepdims=True), quarters], axis=2)
    size = np.array([SIZE**2] + [_HALF**2] * 4)[:, None]
    mean, square, cube = sums / size  # each (n, 5, channel)
    variance = np.maximum(square - mean**2, 0)
    third = cube - 3 * mean * square + 2 * mean**3
    moments = np.stack([mean, np.sqrt(variance), np.cbrt(third)], axis=2) / _WHITE  # (n, 5, moment, channel)
    return moments.reshape(len(planes), -1).astype(np.float32)


def _quarter_sums(pixels: Numbers) -> Numbers:
    """(n, 4, 3) of (n, 3, 64, 64). Whole rows are added first: that is the fast axis order."""
    halves = pixels.reshape(-1, 3, 2, _HALF, SIZE).sum(axis=3)
    quarters: Numbers = halves.reshape(-1, 3, 2, 2, _HALF).sum(axis=4)
    return quarters.transpose(0, 2, 3, 1).reshape(len(pixels), 4, 3)


def _histograms(planes: Pixels) -> Columns:
    """(n, 360): square roots of the joint HSV histogram's shares in each region (Hellinger: rare colours count too)."""
    n = len(planes)
    red, green, blue = (planes >> (8 - _BITS)).astype(np.intp).transpose(1, 0, 2, 3)
    codes = _colour_table().take((red << 2 * _BITS) + (green << _BITS) + blue)  # (n, 64, 64)
    quarter = _quarter_of_pixel() + np.arange(n)[:, None, None] * 4
    quarters = np.bincount((quarter * _COLOURS + codes).ravel(), minlength=n * 4 * _COLOURS).reshape(n, 4, _COLOURS)
    shares = np.concatenate([quarters.sum(axis=1, keepdims=True) / 4, quarters], axis=1) * (4 / SIZE**2)
    return np.sqrt(shares).reshape(n, -1).astype(np.float32)


@cache
def _quarter_of_pixel() -> NDArray[np.intp]:
    """(64, 64)."""
    half = np.arange(SIZE) // _HALF
    return half[:, None] * 2 + half


@cache
def _colour_table() -> NDArray[np.intp]:
    """(64 * 64 * 64,) the joint bin of hue, saturation and value of each colour of 6 bits a channel."""
    width = 1 << (8 - _BITS)
    levels = np.arange(0, _WHITE + 1, width) + (width - 1) / 2  # the middles
    red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma > 0, chroma, 1)
    sextant = np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    towards_red = (green - blue) / safe
    sextant = np.where(value == red, np.where(towards_red < 0, towards_red + 6, towards_red), sextant)
    hue = np.where(chroma > 0, sextant / 6, 0)
    parts = ((hue, _HUES), (chroma / value, _SATURATIONS), (value / _WHITE, _VALUES))
    hues, saturations, values = (np.minimum((channel * bins).astype(np.intp), bins - 1) for channel, bins in parts)
    return ((hues * _SATURATIONS + saturations) * _VALUES + values).ravel()


def _grey_levels(planes: Pixels) -> Columns:
    """(n, 64): mean luma of each 8 x 8 cell."""
    strips = planes.reshape(-1, 3, _CELLS, _CELL, SIZE).sum(axis=3, dtype=np.uint16)
    cells = strips.reshape(-1, 3, _CELLS, _CELLS, _CELL).sum(axis=4, dtype=np.uint32)
    red, green, blue = cells.transpose(1, 0, 2, 3) * (np.array(_LUMA) / (_CELL**2 * _WHITE))[:, None, None, None]
    levels: Columns = (red + green + blue).reshape(len(planes), -1).astype(np.float32)
    return levels
