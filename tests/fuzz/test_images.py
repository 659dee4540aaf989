"""Mutated image files: whatever is done to a file, only ItemError may come out, without a warning, and soon."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from headstart.errors import ItemError
from headstart.features.images import pixels
from headstart.sources.base import ImageInput

HOW = ImageInput(size=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
MUTANTS = 150


def _seeds() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    frames = {"save_all": True, "append_images": [picture.rotate(90)], "disposal": 2}
    made: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (picture, "JPEG", {"exif": exif}),
        "jpeg-progressive-cmyk": (picture.convert("CMYK"), "JPEG", {"progressive": True}),
        "png": (picture, "PNG", {"exif": exif}),
        "png-palette": (picture.convert("P"), "PNG", {"transparency": 3}),
        "apng": (picture, "PNG", {"save_all": True, "append_images": [picture.rotate(90)]}),
        "gif": (picture.convert("P"), "GIF", frames),
        "tiff": (picture, "TIFF", {"exif": exif}),
        "tiff-deflate": (picture, "TIFF", {"compression": "tiff_deflate"}),
        "tiff-16": (Image.fromarray(rng.integers(0, 65536, (24, 32), dtype=np.uint16)), "TIFF", {}),
        "webp": (picture, "WEBP", {"exif": exif}),
        "bmp": (picture, "BMP", {}),
        "ppm": (picture, "PPM", {}),
    }
    seeds = {}
    for name, (image, kind, options) in made.items():
        file = io.BytesIO()
        image.save(file, kind, **options)
        seeds[name] = file.getvalue()
    return seeds


SEEDS = _seeds()


def _mutant(data: bytes, rng: np.random.Generator) -> bytes:
    mutant = bytearray(data)
    # Headers and tables lie at the ends: half of the changes go to the first 200 bytes.
    for _ in range(rng.integers(1, 6)):
        reach = min(200, len(mutant)) if rng.random() < 0.5 else len(mutant)
        at = int(rng.integers(reach))
        match rng.integers(5):
            case 0:
                mutant[at] = rng.integers(256)
            case 1:
                mutant[at : at + 4] = b"\xff\xff\xff\xff"
            case 2:
                del mutant[at : at + int(rng.integers(1, 20))]
            case 3:
                mutant[at:at] = mutant[at : at + int(rng.integers(1, 40))]
            case _:
                mutant[at] ^= 1 << int(rng.integers(8))
        if len(mutant) < 16:
            break
    return bytes(mutant[: int(rng.integers(1, len(mutant) + 1))] if rng.random() < 0.2 else mutant)


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.timeout(60)
def test_mutants_raise_item_errors_only(name: str) -> None:
    rng = np.random.default_rng(list(SEEDS).index(name))
    read, messages = 0, []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(MUTANTS):
            try:
                rgb = pixels(_mutant(SEEDS[name], rng), HOW)
            except ItemError as error:
                messages.append(str(error))
            else:
                assert rgb.shape == (16, 16, 3)
                assert rgb.dtype == np.uint8
                read += 1
    assert not warned
    assert read < MUTANTS
    assert all(message and "\n" not in message for message in messages)
