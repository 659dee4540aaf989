"""The reader of each modality whose items are files."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.features.image_reader import ImageReader
from headstart.features.reader import Reader
from headstart.features.sound_reader import SoundReader

READERS: Mapping[str, Reader] = {"image": ImageReader(), "sound": SoundReader()}
