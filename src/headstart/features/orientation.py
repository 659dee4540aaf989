"""Which way up a photograph is: the Exif orientation, read without Pillow's Exif reader.

Pillow's reader parses every tag and warns about damaged ones; the orientation alone is a few bytes away.
"""

from __future__ import annotations

import re
import struct

from PIL import Image

_TAG, _SHORT = 0x0112, 3
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
# Exif 2.3, table 6: what brings each orientation back to upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """The image turned and mirrored as its Exif, else its XMP, orientation says; itself where neither says anything."""
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _orientation(image: Image.Image) -> int:
    exif = image.info.get("exif")
    found = _exif_orientation(exif) if isinstance(exif, bytes) else 0
    return found or _xmp_orientation(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def _exif_orientation(exif: bytes) -> int:
    """The tag's value in an Exif block, 0 where it is absent or the block is damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
            if tag == _TAG and kind == _SHORT:
                return int(value)
    except struct.error:
        pass
    return 0


def _xmp_orientation(xmp: object) -> int:
    if isinstance(xmp, str):
        xmp = xmp.encode("utf-8", "replace")
    match = _XMP.search(xmp) if isinstance(xmp, bytes) else None
    return int(match[1]) if match else 0
