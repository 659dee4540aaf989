"""Decoding against plain Pillow, torchvision's geometry, and hand-made pixels."""

from __future__ import annotations

import io
import os
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from headstart.errors import ItemError
from headstart.features import images
from headstart.features.images import look, normalise, pixels, prepare
from headstart.sources.base import ImageInput

HOW = ImageInput(size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
EXIF_ORIENTATION = 0x0112


def photo(width: int = 60, height: int = 44, seed: int = 0) -> Image.Image:
    """A smooth picture without symmetry, so that JPEG keeps it nearly and every turn of it differs."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reference(image: Image.Image, size: int = 32) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def test_prepare_is_resize_then_normalise() -> None:
    expected = (reference(photo()) / 255 - HOW.mean) / HOW.std
    got = prepare(encoded(photo()), HOW)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_matches_image_ops(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    exif[0x010F] = "maker"
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(photo(), kind, exif=exif, **options)
    plain = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(pixels(data, HOW), reference(plain))


def test_orientation_in_big_endian_exif_and_in_xmp() -> None:
    entry = struct.pack(">HHIHH", EXIF_ORIENTATION, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    turned = reference(photo().transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(pixels(encoded(photo(), exif=exif), HOW), turned)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(photo(), "WEBP", lossless=True, xmp=xmp)
    np.testing.assert_array_equal(pixels(data, HOW), turned)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"?"]
)
def test_damaged_exif_is_no_orientation_and_no_warning(exif: bytes) -> None:
    plain = Image.open(io.BytesIO(encoded(photo(), "JPEG")))
    np.testing.assert_array_equal(pixels(encoded(photo(), "JPEG", exif=exif), HOW), reference(plain))


def test_transparency_is_laid_on_white() -> None:
    half = np.zeros((4, 4, 4), np.uint8)
    half[..., 0], half[:, :2, 3] = 200, 255
    got = pixels(encoded(Image.fromarray(half)), replace(HOW, size=4))
    np.testing.assert_array_equal(got[:, :2], np.broadcast_to([200, 0, 0], (4, 2, 3)))
    np.testing.assert_array_equal(got[:, 2:], np.full((4, 2, 3), 255))


def _palette_with_transparency(as_bytes: bool) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(0, (0, 0, 2, 4))
    return encoded(image, transparency=b"\x00\xff" if as_bytes else 0)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_palette_with_a_transparent_colour(as_bytes: bool) -> None:
    got = pixels(_palette_with_transparency(as_bytes), replace(HOW, size=4))
    np.testing.assert_array_equal(got[:, :2], np.full((4, 2, 3), 255))
    np.testing.assert_array_equal(got[:, 2:], np.broadcast_to([40, 50, 60], (4, 2, 3)))


def test_grey_with_alpha() -> None:
    image = Image.fromarray(np.full((4, 4, 2), [100, 128], np.uint8))
    assert image.mode == "LA"
    got = pixels(encoded(image), replace(HOW, size=4))
    np.testing.assert_allclose(got, 100 * 128 / 255 + 255 * 127 / 255, atol=1)


MODES = {
    "PNG": ("L", "1", "P"),
    "GIF": ("P",),
    "JPEG": ("L", "CMYK"),
    "TIFF": ("CMYK", "YCbCr", "1"),
    "BMP": ("RGB",),
    "PPM": ("RGB", "L", "1"),
    "WEBP": ("RGB",),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_modes_match_pillow(mode: str, kind: str) -> None:
    data = encoded(photo().convert(mode), kind)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(pixels(data, HOW), reference(expected))


def test_lab_matches_a_colour_transform() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    data = encoded(ImageCms.applyTransform(photo(), transform), "TIFF")
    assert np.abs(pixels(data, HOW).astype(int) - reference(photo())).mean() < 2


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (np.array([[0, 65535], [32768, 257]], np.uint16), 65535),
        (np.array([[0, 4095], [2048, 16]], np.uint16), 4095),
        (np.array([[0, 4096], [2048, 16]], np.uint16), 65535),
        (np.array([[0, 65535], [32768, 257]], np.int32), 65535),
        (np.array([[0, 1], [0.25, 0.5]], np.float32), 1),
        (np.array([[0, 255], [17, 200.4]], np.float32), 255),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled(values: np.ndarray, white: float, kind: str) -> None:
    if kind == "PNG" and values.dtype != np.uint16:
        pytest.skip("PNG holds unsigned integers of 16 bits at most")
    got = pixels(encoded(Image.fromarray(values), kind), replace(HOW, size=2))
    np.testing.assert_allclose(got[..., 0], values / white * 255, atol=0.51)
    assert (got == got[..., :1]).all()


def test_other_numbers_are_stretched() -> None:
    values = np.array([[-1000.0, 3000.0], [1000.0, np.nan]], np.float32)
    got = pixels(encoded(Image.fromarray(values), "TIFF"), replace(HOW, size=2))[..., 0]
    np.testing.assert_allclose(got, [[0, 255], [127.5, 63.75]], atol=0.51)
    wild = np.array([[-np.inf, np.inf], [0, np.finfo(np.float32).max]], np.float32)
    got = pixels(encoded(Image.fromarray(wild), "TIFF"), replace(HOW, size=2))[..., 0]
    np.testing.assert_allclose(got, [[0, 255], [127.5, 255]], atol=0.51)
    flat = pixels(encoded(Image.fromarray(np.full((2, 2), 1e6, np.float32)), "TIFF"), replace(HOW, size=2))
    assert not flat.any()


def test_16_bit_big_endian() -> None:
    values = np.array([[0, 65535], [32768, 257]], ">u2")
    data = b"P5 2 2 65535\n" + values.tobytes()
    np.testing.assert_allclose(pixels(data, replace(HOW, size=2))[..., 0], values / 257, atol=0.51)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_shows_its_first_frame(kind: str) -> None:
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    data = encoded(first, kind, save_all=True, append_images=[second])
    np.testing.assert_allclose(pixels(data, HOW).mean((0, 1)), [255, 0, 0], atol=2)


def test_large_jpeg_is_decoded_near_its_target_size() -> None:
    data = encoded(photo(1600, 1200), "JPEG", quality=95)
    full = reference(Image.open(io.BytesIO(data)))
    assert np.abs(pixels(data, HOW).astype(int) - full).mean() < 1.5
    started = time.perf_counter()
    pixels(data, HOW)
    scaled = time.perf_counter() - started
    started = time.perf_counter()
    Image.open(io.BytesIO(data)).load()
    assert scaled < time.perf_counter() - started


def test_draft_never_goes_below_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(images, "_resize", lambda image, how: seen.append(image.size) or image.resize((2, 2)))
    for width, height in [(63, 200), (64, 64), (127, 129), (256, 256), (257, 4000)]:
        pixels(encoded(photo(width, height), "JPEG"), HOW)
        assert min(seen[-1]) >= 32
        assert min(seen[-1]) <= 64 or min(seen[-1]) == min(width, height) // 8


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (50, 33), (401, 37), (31, 31), (1, 9)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crop_matches_torchvision(size: tuple[int, int], interpolation: str) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    how = replace(HOW, resize="crop", crop_fraction=0.875, interpolation=interpolation)
    mode = transforms.InterpolationMode(interpolation)
    pipeline = transforms.Compose([transforms.Resize(int(32 / 0.875), mode), transforms.CenterCrop(32)])
    if max(size) > images._LONGEST * min(size):  # cut before it is resized: equal but for the ends
        assert pixels(encoded(photo(*size)), how).shape == (32, 32, 3)
    else:
        np.testing.assert_array_equal(pixels(encoded(photo(*size)), how), np.asarray(pipeline(photo(*size))))


def test_crop_of_an_extreme_strip_is_small_work() -> None:
    strip = encoded(Image.new("L", (60_000, 1), 7))
    assert (pixels(strip, replace(HOW, resize="crop", size=224)) == 7).all()


@pytest.mark.parametrize("size", [(60, 44), (500, 375), (700, 460), (1000, 900), (20, 30)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_thumbnail_is_the_same_whatever_the_source(size: tuple[int, int], kind: str) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    data = encoded(photo(*size), kind, exif=exif)
    alone = look(data, None, thumbnail=True).thumbnail
    assert alone is not None
    turned = photo(*size).transpose(Image.Transpose.ROTATE_270)
    assert np.abs(alone.astype(int) - reference(turned, 64)).mean() < 8
    for how in (HOW, replace(HOW, size=224), replace(HOW, size=260, resize="crop"), replace(HOW, size=512)):
        both = look(data, how, thumbnail=True)
        np.testing.assert_array_equal(both.thumbnail, alone)
        np.testing.assert_array_equal(both.pixels, pixels(data, how))


def bomb(width: int, height: int) -> bytes:
    """A valid PNG that promises width x height black pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def _resized_jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("make", [bomb, _resized_jpeg_header])
def test_bombs_are_refused_from_the_header(make: Callable[[int, int], bytes]) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    data = make(30_000, 30_000)
    started = time.perf_counter()
    with pytest.raises(ItemError, match="30000 x 30000 pixels"):
        pixels(data, HOW)
    assert time.perf_counter() - started < 0.1
    assert limit == Image.MAX_IMAGE_PIXELS


def test_between_pillows_limits_and_ours_nothing_warns() -> None:
    # 120 million pixels: Pillow would warn. The data are short: found damaged, but only after the size was accepted.
    with pytest.raises(ItemError, match="damaged or incomplete"):
        pixels(bomb(12_000, 10_000), HOW)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = encoded(photo(), kind)
    with pytest.raises(
        ItemError, match=r"^the image is damaged or incomplete \(.+\); save it again from the original$"
    ):
        pixels(data[: len(data) // 2], HOW)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"just words", "not an image: the file begins with b'just wor'"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not an image"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ItemError, match=reason):
        pixels(data, HOW)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="not a file"):
        pixels(tmp_path, HOW)
    with pytest.raises(ItemError, match="cannot be read: No such file"):
        pixels(tmp_path / "absent.jpg", HOW)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(ItemError, match="not a file"):
            pixels(tmp_path / "pipe.jpg", HOW)
    (tmp_path / "good.png").write_bytes(encoded(photo()))
    np.testing.assert_array_equal(pixels(tmp_path / "good.png", HOW), reference(photo()))


def test_filters_are_restored_after_a_damaged_tiff() -> None:
    before = list(warnings.filters)
    with pytest.raises(ItemError):
        pixels(encoded(photo(), "TIFF")[:100], HOW)
    assert warnings.filters == before


def test_normalise_uses_each_channels_own_constants() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    expected = ((rgb / 255 - np.array(HOW.mean)) / np.array(HOW.std)).transpose(2, 0, 1)
    np.testing.assert_allclose(normalise(rgb, HOW), expected, atol=1e-6)
