"""Rows at unit length, block by block (a block: a tap of a source): products of such rows are cosines.

The length of an item's features says how much of anything is there, seldom what. It is no affine map of the features,
so a head that learns on unit rows keeps the center and the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from headstart.errors import DataError
from headstart.heads.base import Floats
from headstart.heads.rows import chunks
from headstart.heads.scaling import CONSTANT


def all_unit_rows(x: Floats, center: NDArray[np.float64], blocks: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """`unit_rows` of all of x (n, d), over chunks of rows."""
    out = np.empty(x.shape, dtype)
    for rows in chunks(len(x), 8 * x.shape[1]):
        out[rows] = unit_rows(x[rows], center, blocks, dtype)
    return out


def unit_rows(x: Floats, center: NDArray[np.float64], blocks: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """(m, d) rows centred, each block at unit length; a block at the mean stays zero.

    Raises:
        DataError: blocks that do not add up to d.
    """
    if sum(blocks) != x.shape[1]:
        raise DataError(f"got blocks of {sum(blocks)} columns in all, expected the features' {x.shape[1]}")
    # What is rounded to 11 bits, of 11 bits, needs no more than float32 on the way.
    half = x.dtype == np.float16 and dtype == np.float16
    z = np.subtract(x, center, dtype=np.float32 if half else np.float64)
    z[np.abs(z) <= (CONSTANT * np.abs(center)).astype(z.dtype)] = 0.0  # rounding of a column that does not vary
    out = np.empty(z.shape, dtype)
    for part, unit in zip(in_blocks(z, blocks), in_blocks(out, blocks), strict=True):
        largest = np.maximum(part.max(axis=1), -part.min(axis=1))
        part /= np.maximum(largest, np.finfo(z.dtype).tiny)[:, None]  # huge squares would overflow, tiny ones vanish
        length = np.sqrt(np.einsum("ij,ij->i", part, part))
        np.divide(part, np.maximum(length, 0.5)[:, None], out=unit, casting="same_kind")
    return out


def in_blocks(x: NDArray[Any], blocks: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """(m, width) views of the blocks of x (m, d)."""
    ends = np.cumsum(blocks)
    return (x[:, end - width : end] for end, width in zip(ends, blocks, strict=True))
