"""An image file becomes a graph's input: decoded small, upright, in RGB, resized, normalised.

The work is Pillow's, which lets other threads run while it decodes and resizes.
"""

from __future__ import annotations

import io
import math
import re
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from headstart.errors import ItemError, one_line
from headstart.features.files import read_file
from headstart.features.hush import hushed
from headstart.features.modes import to_8_bit
from headstart.features.orientation import upright
from headstart.sources.base import ImageInput

# The largest camera sensors have 16,320 x 12,240 = 199.8 million pixels; beyond that a file is a scan or a bomb.
MAX_PIXELS = 200_000_000
THUMBNAIL = 64
# A thumbnail is made from a JPEG decoded for this size, as common sources are, so that it is the same for all of them.
_THUMBNAIL_DECODE = 224
# Images above this are decoded one at a time: Pillow keeps 4 bytes a pixel, and a conversion doubles that.
_LARGE = 24_000_000
_one_large = threading.Lock()
# A strip longer than this many times its width is cut before it is resized by its short side, which bounds memory.
_LONGEST = 4


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose resolution nobody asks for: Pillow reads all Exif tags for it, and warns of damaged ones."""

    def _read_dpi_from_exif(self) -> None:
        pass


# Only these are opened. Image.open is not used because it warns of large images through process-wide state.
_FORMATS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (rb"\xff\xd8\xff", _Jpeg),
    (rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (rb"GIF8[79]a", GifImagePlugin.GifImageFile),
    (rb"RIFF....WEBP", WebPImagePlugin.WebPImageFile),
    (rb"II[*+]\0|MM\0[*+]", TiffImagePlugin.TiffImageFile),
    (rb"BM", BmpImagePlugin.BmpImageFile),
    (rb"P[1-6]\s", PpmImagePlugin.PpmImageFile),
)
FORMATS = "JPEG, PNG, GIF, WebP, TIFF, BMP or PPM"


@dataclass(frozen=True, eq=False)
class Views:
    """What was asked for of one image.

    Attributes:
        pixels: (size, size, 3) uint8 RGB, resized as a source wants it.
        thumbnail: (64, 64, 3) uint8 RGB, the whole image squashed; the same whatever the source.
    """

    pixels: NDArray[np.uint8] | None
    thumbnail: NDArray[np.uint8] | None


def prepare(item: bytes | Path, how: ImageInput) -> NDArray[np.float32]:
    """One image as the graph's input.

    Args:
        item: a file's bytes, or its path.
        how: the size, the resize rule, and mean and std.

    Returns:
        (3, size, size) float32, RGB, (x / 255 - mean) / std.

    Raises:
        ItemError: the file cannot be read, is no image of a known format, is damaged, or has more than MAX_PIXELS.
    """
    return normalise(pixels(item, how), how)


def pixels(item: bytes | Path, how: ImageInput) -> NDArray[np.uint8]:
    """The upright image, resized as `how` says: (size, size, 3) uint8 RGB. The first frame of an animation.

    A JPEG is decoded at the smallest of its 1/1, 1/2, 1/4, 1/8 scales that is not below what it is resized to.

    Raises:
        ItemError: as for `prepare`.
    """
    found = look(item, how, thumbnail=False).pixels
    assert found is not None
    return found


def look(item: bytes | Path, how: ImageInput | None, *, thumbnail: bool) -> Views:
    """The pixels for a source (`how`; None for none) and the thumbnail, decoded once where one scale serves both.

    Raises:
        ItemError: as for `prepare`.
    """
    data = read_file(item) if isinstance(item, Path) else item
    reader = _reader(data)
    with nullcontext() if reader is _Jpeg else hushed():
        try:
            return _look(reader, data, how, thumbnail)
        except ItemError:
            raise
        except Exception as error:  # Pillow's readers raise nearly anything on damaged files
            reason = one_line(error) or type(error).__name__
            raise ItemError(f"the image is damaged or incomplete ({reason}); save it again from the original") from None


def normalise(rgb: NDArray[np.uint8], how: ImageInput) -> NDArray[np.float32]:
    """(size, size, 3) uint8 -> (3, size, size) float32, (x / 255 - mean) / std."""
    mean, std = np.array(how.mean), np.array(how.std)
    values = np.empty((3, *rgb.shape[:2]), np.float32)
    values[...] = rgb.transpose(2, 0, 1)
    values *= (1 / (255 * std)).astype(np.float32)[:, None, None]
    values -= (mean / std).astype(np.float32)[:, None, None]
    return values


def _reader(data: bytes) -> type[ImageFile.ImageFile]:
    for signature, reader in _FORMATS:
        if re.match(signature, data, re.DOTALL):
            return reader
    if not data:
        raise ItemError("the file is empty; expected an image")
    raise ItemError(f"not an image: the file begins with {data[:8]!r}; expected {FORMATS}")


def _look(reader: type[ImageFile.ImageFile], data: bytes, how: ImageInput | None, thumbnail: bool) -> Views:
    target = _short_side(how) if how else _THUMBNAIL_DECODE
    image, original = _decode(reader, data, target)
    rgb = _array(_resize(image, how)) if how else None
    if not thumbnail:
        return Views(rgb, None)
    if reader is _Jpeg and _jpeg_scale(original, target) != _jpeg_scale(original, _THUMBNAIL_DECODE):
        image, _ = _decode(reader, data, _THUMBNAIL_DECODE)
    # `reducing_gap`: whole pixels are averaged first, which is twice as fast.
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=1.5)
    return Views(rgb, _array(small))


def _decode(reader: type[ImageFile.ImageFile], data: bytes, target: int) -> tuple[Image.Image, tuple[int, int]]:
    """The upright image in mode L or RGB, its sides not below `target` by scaled decoding; and its size in the file."""
    with reader(io.BytesIO(data)) as image:
        original = image.size
        if original[0] * original[1] > MAX_PIXELS:
            width, height = original
            raise ItemError(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are read: scale the image down")
        image.draft(image.mode, (target, target))
        with _one_large if image.size[0] * image.size[1] > _LARGE else nullcontext():
            image.load()
            return to_8_bit(upright(image)), original


def _jpeg_scale(size: tuple[int, int], target: int) -> int:
    """What Pillow's `draft` divides a JPEG's sides by: the largest of 1, 2, 4, 8 that leaves at least `target`."""
    return next((scale for scale in (8, 4, 2) if min(size) // target >= scale), 1)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 of an image in mode L or RGB."""
    values = np.asarray(image)
    return np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values


def _short_side(how: ImageInput) -> int:
    return how.size if how.resize == "squash" else math.floor(how.size / how.crop_fraction)


def _resize(image: Image.Image, how: ImageInput) -> Image.Image:
    filter_ = Image.Resampling.BICUBIC if how.interpolation == "bicubic" else Image.Resampling.BILINEAR
    if how.resize == "squash":
        return image.resize((how.size, how.size), filter_)
    image = _middle(image, *(min(side, _LONGEST * min(image.size)) for side in image.size))
    short, target = min(image.size), _short_side(how)
    # The long side is cut to whole pixels, as torchvision does.
    width, height = (target * side // short for side in image.size)
    return _middle(image.resize((width, height), filter_), how.size, how.size)


def _middle(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
