"""What an image shows without anything learned before: gradients, colours and brightness of a 64 x 64 thumbnail.

These columns feed the no-transfer baseline. Histograms of oriented gradients follow Dalal and Triggs, "Histograms of
oriented gradients for human detection" (CVPR 2005): unsigned gradients in 9 orientations, cells of 8 x 8 pixels, blocks
of 2 x 2 cells with L2-Hys normalisation, and at each pixel the gradient of the channel where it is largest.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)

SIZE = 64
_CHUNK = 128
_CELL, _ORIENTATIONS = 8, 9
_CELLS = SIZE // _CELL
_BLOCKS = _CELLS - 1
_EPS, _HYSTERESIS = 1e-5, 0.2
# Regions of the colour columns: the whole image, then its quarters row by row.
_REGIONS = ("whole", "top-left", "top-right", "bottom-left", "bottom-right")
_HUES, _SATURATIONS, _VALUES = 8, 3, 3
_COLOURS = _HUES * _SATURATIONS * _VALUES


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
        chunk = thumbnails[start : start + _CHUNK]
        planes = np.ascontiguousarray(chunk.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
        columns = [oriented_gradients(chunk), _moments(planes), _histograms(planes), _grey_levels(planes)]
        described[start : start + _CHUNK] = np.concatenate(columns, axis=1)
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


def oriented_gradients(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 1764) L2-Hys normalised block histograms of (n, 64, 64, 3) images: block row, block column, cell, angle."""
    down, right, squared = _gradients(images)
    angle = np.arctan2(down, right)
    angle = np.where(angle < 0, angle + np.float32(np.pi), angle)  # unsigned; pi itself is 0
    bins = (angle * np.float32(_ORIENTATIONS / np.pi)).astype(np.int64) % _ORIENTATIONS
    cells = _per_cell(bins, np.sqrt(squared)) / np.float32(_CELL**2)  # (n, 8, 8, 9)
    return _normalised_blocks(cells).reshape(len(images), -1)


def _gradients(images: NDArray[np.uint8]) -> tuple[Planes, Planes, Planes]:
    """Down, right and squared length, each (n, 64, 64), of the channel with the longest gradient at each pixel."""
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    down, right = np.zeros_like(pixels), np.zeros_like(pixels)
    down[:, :, 1:-1] = pixels[:, :, 2:] - pixels[:, :, :-2]
    right[..., 1:-1] = pixels[..., 2:] - pixels[..., :-2]
    squared = down**2 + right**2
    longest = (down[:, 0], right[:, 0], squared[:, 0])
    for channel in (1, 2):
        better = squared[:, channel] > longest[2]
        new = (down[:, channel], right[:, channel], squared[:, channel])
        longest = (
            np.where(better, new[0], longest[0]),
            np.where(better, new[1], longest[1]),
            np.where(better, new[2], longest[2]),
        )
    return longest


def _per_cell(bins: NDArray[np.int64], magnitude: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 8, 8, 9) sums of `magnitude` (n, 64, 64) over each cell's pixels of each orientation."""
    n = len(bins)
    row_of_cells = np.arange(SIZE) // _CELL
    cell = np.arange(n)[:, None, None] * _CELLS**2 + row_of_cells[:, None] * _CELLS + row_of_cells
    sums = np.bincount((cell * _ORIENTATIONS + bins).ravel(), magnitude.ravel(), n * _CELLS**2 * _ORIENTATIONS)
    return sums.reshape(n, _CELLS, _CELLS, _ORIENTATIONS).astype(np.float32)


def _normalised_blocks(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 7, 7, 36): overlapping 2 x 2 blocks; L2-Hys is unit length, clipped at 0.2, unit length again."""
    corners = [cells[:, r : r + _BLOCKS, c : c + _BLOCKS] for r in (0, 1) for c in (0, 1)]
    blocks = np.concatenate(corners, axis=3)
    clipped: Planes = np.minimum(blocks / _length(blocks), np.float32(_HYSTERESIS))
    return clipped / _length(clipped)


def _length(blocks: Planes) -> Planes:
    """(..., 1): Euclidean length over the last axis, never zero."""
    length: Planes = np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + np.float32(_EPS**2))
    return length


def _moments(planes: Planes) -> Planes:
    """(n, 45): mean, standard deviation and signed cube root of the third moment of each channel in each region."""
    moments = []
    for region in _regions(planes):  # (n, 3, rows, columns)
        mean = region.mean(axis=(2, 3))
        centred = region - mean[..., None, None]
        squared = centred**2
        third = (squared * centred).mean(axis=(2, 3))
        moments += [mean, np.sqrt(squared.mean(axis=(2, 3))), np.cbrt(third)]
    return np.concatenate(moments, axis=1)


def _regions(planes: NDArray[_Scalar]) -> list[NDArray[_Scalar]]:
    """Views of (..., 64, 64): the whole, then each quarter."""
    half = SIZE // 2
    return [planes] + [planes[..., r : r + half, c : c + half] for r in (0, half) for c in (0, half)]


def _histograms(planes: Planes) -> Planes:
    """(n, 360): square roots of the joint HSV histogram's shares in each region (Hellinger: rare colours count too)."""
    n = len(planes)
    codes = _colour_codes(planes) + np.arange(n)[:, None, None] * _COLOURS
    quarters = np.stack(
        [np.bincount(region.ravel(), minlength=n * _COLOURS).reshape(n, _COLOURS) for region in _regions(codes)[1:]]
    )
    shares = np.concatenate([quarters.sum(axis=0, keepdims=True) / 4, quarters]) * (4 / SIZE**2)  # (5, n, 72)
    return np.sqrt(shares).transpose(1, 0, 2).reshape(n, -1).astype(np.float32)


def _colour_codes(planes: Planes) -> NDArray[np.int64]:
    """(n, 64, 64) the joint bin of hue, saturation and value of each RGB pixel in [0, 1]."""
    red, green, blue = planes[:, 0], planes[:, 1], planes[:, 2]
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma > 0, chroma, np.float32(1))
    sextant = np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    towards_red = (green - blue) / safe
    sextant = np.where(value == red, np.where(towards_red < 0, towards_red + 6, towards_red), sextant)
    hue = np.where(chroma > 0, sextant / 6, np.float32(0))
    saturation = chroma / np.where(value > 0, value, np.float32(1))
    parts = ((hue, _HUES), (saturation, _SATURATIONS), (value, _VALUES))
    binned = [np.minimum((channel * bins).astype(np.int64), bins - 1) for channel, bins in parts]
    return (binned[0] * _SATURATIONS + binned[1]) * _VALUES + binned[2]


def _grey_levels(planes: Planes) -> Planes:
    """(n, 64): mean luma (ITU-R BT.601) of each 8 x 8 cell."""
    luma = planes[:, 0] * np.float32(0.299) + planes[:, 1] * np.float32(0.587) + planes[:, 2] * np.float32(0.114)
    cells = luma.reshape(-1, _CELLS, _CELL, _CELLS, _CELL).mean(axis=(2, 4))
    return np.asarray(cells.reshape(-1, _CELLS**2), np.float32)
