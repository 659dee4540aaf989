"""Sounds as a graph's input, and as what the no-transfer baseline hears."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.features import sound_baseline, sound_facts
from headstart.features.cache import Space
from headstart.features.encoder import Encoder, half
from headstart.features.pooling import pool
from headstart.features.reader import Seen
from headstart.features.sounds import Samples, Sound, decode
from headstart.fronts import prepare
from headstart.sources.base import SoundInput, SourceInput

# Part of the name of the space of descriptors: raise it when `sound_baseline` would say something else.
_VERSION = 3
# Sounds up to this many seconds wait, as samples, to be described together.
_SHORT = 10


class _Heard(NamedTuple):
    """Of one sound: its facts (5,), and its samples at the descriptors' rate, or (571,) its descriptors at once."""

    facts: NDArray[np.float32]
    samples: Samples | None
    columns: NDArray[np.float32] | None


class SoundReader:
    """A sound's windows are run one by one and pooled: its row depends on nothing but itself."""

    unit = "clips"
    space = Space("no transfer", f"logmel v{_VERSION}", len(sound_facts.NAMES) + len(sound_baseline.names()), "float16")
    alike = False
    too_large = "cut the recording into clips"

    def see(self, data: bytes, how: SourceInput | None, *, described: bool) -> Seen:
        assert how is None or isinstance(how, SoundInput)
        rates = [*([] if how is None else [how.rate]), *([sound_baseline.RATE] if described else [])]
        sound = decode(data, rates)
        values = None if how is None else [prepare(one, how) for one in windows(sound.samples[how.rate], how)]
        size = sum(array.nbytes for feeds in values or () for array in feeds.values())
        return Seen(values, _heard(sound) if described else None, size)

    def rows(self, encoder: Encoder, values: Sequence[Any]) -> NDArray[np.float16]:
        pooled = [pool(np.concatenate([encoder.outputs(feeds) for feeds in one]), encoder.taps) for one in values]
        return half(np.stack(pooled))

    def describe(self, looks: Sequence[Any]) -> NDArray[np.float16]:
        short = [one.samples for one in looks if one.samples is not None]
        found = iter(sound_baseline.describe(short) if short else ())
        columns = [one.columns if one.samples is None else next(found) for one in looks]
        return half(np.hstack([np.stack([one.facts for one in looks]), np.stack(columns)]))


def windows(samples: Samples, how: SoundInput) -> list[Samples]:
    """Windows of equal lengths that cover (t,) samples, none longer than how.seconds; views.

    A graph that takes a fixed number of frames is given full windows, which overlap; others as few samples as cover.
    """
    longest = max(1, int(how.seconds * how.rate))
    count = math.ceil(len(samples) / longest)
    if count <= 1:
        return [samples]
    length = longest if how.frames else math.ceil(len(samples) / count)
    last = len(samples) - length
    return [samples[start : start + length] for start in (round(last * i / (count - 1)) for i in range(count))]


def _heard(sound: Sound) -> _Heard:
    samples, facts = sound.samples[sound_baseline.RATE], sound_facts.facts_row(sound)
    if len(samples) <= _SHORT * sound_baseline.RATE:
        return _Heard(facts, samples, None)
    return _Heard(facts, None, sound_baseline.describe([samples])[0])
