"""Any Pillow mode becomes 8-bit grey or RGB: palettes, alpha, CMYK, 16-bit and floating-point images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ALPHA = ("LA", "PA", "La", "RGBA", "RGBa")
_12_BITS, _16_BITS = 4095.0, 65535.0


def to_8_bit(image: Image.Image) -> Image.Image:
    """The loaded `image` in mode L or RGB.

    Transparent parts are laid on white. 16-bit grey is scaled by its full range, or by 4095 where no pixel needs more
    than 12 bits, as in files of 12-bit cameras and detectors. Wider integers that fit 16 bits are treated the same;
    other integers are stretched from their least to their greatest value. Floating point is read as [0, 1] or [0, 255]
    where the values fit, else stretched; NaN is black.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_scaled(np.asarray(image)))
    if image.mode in _ALPHA or "transparency" in image.info:
        return _on_white(image)
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")  # Pillow has no step from La to RGBA
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _scaled(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(h, w) of any numbers -> (h, w) uint8."""
    whole = bool(np.issubdtype(values.dtype, np.integer))
    numbers = values.astype(np.float32)
    if not whole:
        # Finite, and narrow enough that a difference of two values is finite as well.
        np.nan_to_num(numbers, copy=False)
        np.clip(numbers, -1e38, 1e38, out=numbers)
    low, high = _range(float(numbers.min()), float(numbers.max()), whole)
    numbers -= low
    numbers *= 255.0 / max(high - low, 1e-30)
    np.rint(numbers, out=numbers)
    return np.clip(numbers, 0, 255, out=numbers).astype(np.uint8)


def _range(low: float, high: float, whole: bool) -> tuple[float, float]:
    """What becomes black and what becomes white, for values in [low, high]."""
    if whole and low >= 0 and high <= _16_BITS:
        return 0.0, _12_BITS if high <= _12_BITS else _16_BITS
    if not whole and low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0
    return low, high
