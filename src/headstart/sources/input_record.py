"""How items are prepared, from JSON that anybody may have written: every field is checked and bounded."""

from __future__ import annotations

from typing import get_args

from headstart.sources.base import (
    Front,
    ImageInput,
    Interpolation,
    Modality,
    Resize,
    SoundInput,
    SourceInput,
    TextInput,
)
from headstart.sources.files import Fields

_HIGHEST_RATE, _LONGEST_WINDOW = 384_000, 600.0
_MOST_SAMPLES = 1 << 25  # of a window: 128 MiB
_LOWEST_MEL_RATE = 1_000  # a frame of 25 ms must have some samples


def read_input(fields: Fields, modality: Modality) -> SourceInput:
    """An input description from JSON; keys that are absent take the defaults of base.py. `fields` has the mistakes."""
    if modality == "image":
        return _read_image(fields)
    return _read_sound(fields) if modality == "sound" else _read_text(fields)


def _read_image(fields: Fields) -> ImageInput:
    resize: Resize = fields.text("resize", "squash", choices=get_args(Resize))  # type: ignore[assignment]
    interpolation: Interpolation = fields.text(  # type: ignore[assignment]
        "interpolation", "bicubic", choices=get_args(Interpolation)
    )
    return ImageInput(
        size=fields.integer("size", low=8, high=4096),
        mean=fields.triple("mean", low=-1e4, high=1e4),
        std=fields.triple("std", low=1e-6, high=1e4),
        resize=resize,
        crop_fraction=fields.number("crop_fraction", 1.0, low=0.05, high=1),
        interpolation=interpolation,
    )


def _read_text(fields: Fields) -> TextInput:
    return TextInput(
        max_tokens=fields.integer("max_tokens", low=2, high=1 << 20),
        pad_id=fields.integer("pad_id", 0, low=0, high=1 << 30),
        prefix=fields.text("prefix", ""),
    )


def _read_sound(fields: Fields) -> SoundInput:
    front: Front = fields.text("front", "wave", choices=get_args(Front))  # type: ignore[assignment]
    rate = fields.integer("rate", low=1, high=_HIGHEST_RATE)
    how = SoundInput(
        rate=rate,
        seconds=fields.number("seconds", low=1e-3, high=_LONGEST_WINDOW),
        shortest=fields.integer("shortest", max(1, rate // 10), low=1, high=_MOST_SAMPLES),
        front=front,
        bands=fields.integer("bands", 0, low=0, high=256),
        frames=fields.integer("frames", 0, low=0, high=1 << 16),
        mean=fields.number("mean", 0.0, low=-1e4, high=1e4),
        std=fields.number("std", 1.0, low=1e-6, high=1e4),
        standardise=fields.flag("standardise", False),
    )
    samples = how.rate * how.seconds
    fields.check(1 <= samples <= _MOST_SAMPLES, f"a window has {samples:,.0f} samples, not 1 to {_MOST_SAMPLES:,}")
    fields.check(how.shortest <= samples, f"'shortest' is {how.shortest:,} samples, more than a window has")
    if front == "wave":
        fields.check(not how.bands and not how.frames, "'bands' and 'frames' are of a spectrogram; the front is a wave")
    else:
        fields.check(how.bands > 0, f"the front {front!r} needs 'bands', 1 to 256")
        fields.check(
            how.rate >= _LOWEST_MEL_RATE, f"the front {front!r} needs a rate of {_LOWEST_MEL_RATE:,} Hz or more"
        )
    return how
