"""A sound file becomes samples: decoded in blocks, its channels averaged, resampled.

libsndfile decodes (WAV, FLAC, Ogg, MP3 and more, told apart by content, whatever the file's name), soxr resamples.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ItemError, one_line
from headstart.features.mp3 import with_length
from headstart.features.ogg import cut_off
from headstart.features.resampling import Resampled
from headstart.optional import require

Samples = NDArray[np.float32]

# A recording beyond this is no item with one label; 16,000 Hz take 230 MB of it.
MAX_SECONDS = 3600
MIN_RATE, MAX_RATE = 1_000, 768_000
# Samples of all channels together that are decoded at a time.
_BLOCK = 1 << 18
# Sounds above this many seconds are decoded one at a time.
_LONG = 600
_one_long = threading.Lock()
# Files of numbers may leave [-1, 1], but no scale in use goes beyond that of 32-bit integers.
_LARGEST = 2.0**31
# Where a sample counts as at full scale: 127 / 128, the largest of 8 bits, does.
_FULL_SCALE = 0.99
# Of what a header promises: MP3 headers are off by a frame or two.
_COMPLETE = 0.98
# Sizes near the largest of 31 and 32 bits are written by programs that could not know the size.
_UNKNOWN_SIZE = 0x7FFF0000
_NO_SAMPLES = "no samples: the recording is empty, or cut off before its first sound"
_EXPECTED = "expected WAV, FLAC, Ogg, MP3, AIFF, AU or CAF: convert it, for instance with ffmpeg"


@dataclass(frozen=True, eq=False)
class Sound:
    """A decoded sound.

    Attributes:
        rate: of the file, in Hz.
        seconds: its length.
        level: root mean square of the mono samples, full scale 1.
        clipped: share of the file's samples at full scale.
        samples: (t,) float32 mono, by rate in Hz.
    """

    rate: int
    seconds: float
    level: float
    clipped: float
    samples: dict[int, Samples]


def reading_library() -> Any:
    """The module soundfile, once soxr is known to be there as well.

    Raises:
        MissingLayerError: either is absent.
    """
    require("soxr", "audio", "reading sounds")
    return require("soundfile", "audio", "reading sounds")


def decode(data: bytes, rates: Sequence[int]) -> Sound:
    """The samples of a file's bytes at each of `rates`.

    Raises:
        ItemError: no sound, a damaged or a truncated one, a silent one, one with samples that are no finite numbers,
            or one longer than MAX_SECONDS.
        MissingLayerError: soundfile or soxr is absent.
    """
    soundfile = reading_library()
    if not data:
        raise ItemError("the file is empty; expected a sound")
    if cut_off(data):
        raise ItemError("the sound is truncated: the last page of Ogg data is cut; copy it again from the original")
    try:
        file = soundfile.SoundFile(_Bytes(with_length(data)))
        # soundfile would seek after each block; of a stream that does not tell its length, to a place behind its end.
        file.seekable = _never
    except Exception as error:  # libsndfile's own errors, and others on headers that contradict themselves
        raise ItemError(f"not a sound that can be read ({_reason(error)}); {_EXPECTED}") from None
    with file:
        _check_header(file)
        with _one_long if _long(file) else nullcontext():
            try:
                return _decoded(file, rates)
            except ItemError:
                raise
            except Exception as error:
                raise ItemError(
                    f"the sound is damaged or incomplete ({_reason(error)}); copy it again from the original"
                ) from None


class _Bytes(io.BytesIO):
    """Bytes as a file in which decoders of damaged data may seek anywhere: outside they stay where they are."""

    def seek(self, offset: int, whence: int = 0) -> int:
        start = 0 if whence == 0 else self.tell() if whence == 1 else len(self.getbuffer())
        return super().seek(start + offset) if start + offset >= 0 else self.tell()


def _never() -> bool:
    return False


def _check_header(file: Any) -> None:
    rate, frames = file.samplerate, file.frames
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ItemError(f"a sample rate of {rate:,} Hz; expected {MIN_RATE:,} to {MAX_RATE:,}: export it again")
    if frames == 0:
        raise ItemError(_NO_SAMPLES)
    if _known(file) and frames > MAX_SECONDS * rate:
        raise ItemError(_too_long(frames / rate))
    promised = _promised(file.extra_info)
    if promised is not None:
        raise ItemError(f"the sound is truncated: {promised}; copy it again from the original")


def _promised(log: str) -> str | None:
    """What libsndfile's log of a header says is missing of the samples, or None."""
    found = re.search(r"(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", log)
    if found is None or not int(found[2]) < int(found[1]) < _UNKNOWN_SIZE:
        return None
    return f"{int(found[2]):,} of {int(found[1]):,} bytes of samples are there"


def _known(file: Any) -> bool:
    """True where the header tells the length."""
    return bool(file.frames < 1 << 60)


def _long(file: Any) -> bool:
    return bool(file.frames > _LONG * file.samplerate)


def _too_long(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours; at most {MAX_SECONDS // 3600} is read: cut the recording into clips"


def _decoded(file: Any, rates: Sequence[int]) -> Sound:
    expected = min(file.frames, MAX_SECONDS * file.samplerate)
    outputs = {rate: Resampled(file.samplerate, rate, expected) for rate in set(rates)}
    count, full, squares = 0, 0, 0.0
    low, high = math.inf, -math.inf
    for block in _blocks(file):
        alone = block.shape[1] == 1
        mono = block[:, 0] if alone else block.mean(axis=1)
        least, most = float(block.min()), float(block.max())
        largest = max(-least, most)
        if not largest < _LARGEST:  # NaN is not
            raise ItemError("samples that are no numbers, or infinite, or beyond any scale: export it again")
        if largest >= _FULL_SCALE:
            full += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        count += len(mono)
        if count > MAX_SECONDS * file.samplerate:
            raise ItemError(_too_long(count / file.samplerate))
        squares += float(np.square(mono).sum())  # in pairs, and far from the largest float32
        low = min(low, least if alone else float(mono.min()))
        high = max(high, most if alone else float(mono.max()))
        for one in outputs.values():
            one.add(mono)
    _check_samples(file, count, low, high)
    samples = {rate: one.finish() for rate, one in outputs.items()}
    clipped = full / (count * file.channels)
    return Sound(file.samplerate, count / file.samplerate, math.sqrt(squares / count), clipped, samples)


def _blocks(file: Any) -> Iterator[Samples]:
    """(n, channels) float32, a bounded number at a time."""
    size, left = max(1, _BLOCK // file.channels), file.frames
    while left and len(block := file.read(min(size, left), dtype="float32", always_2d=True)):
        left -= len(block)
        yield block


def _check_samples(file: Any, count: int, low: float, high: float) -> None:
    """Nothing can be learned of silence, and a microphone that is off shows as a failure, not as a class."""
    if count == 0:
        raise ItemError(_NO_SAMPLES)
    if _known(file) and count < _COMPLETE * file.frames:
        raise ItemError(
            f"the sound is truncated: {count:,} of {file.frames:,} samples are there; copy it again from the original"
        )
    if low == high:
        told = "a single sample" if count == 1 else f"silent: its {count:,} samples all have one value"
        raise ItemError(f"{told}; there is nothing to hear")


def _reason(error: Exception) -> str:
    """The library's own words, without the address of our buffer."""
    told = getattr(error, "error_string", "") or error
    return one_line(told).removeprefix("Error : ").rstrip(".") or type(error).__name__
