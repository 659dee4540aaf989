"""What the user should know of sounds: whose rate rules, which clips are long, nearly silent or clipped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.features.sound_facts import Facts, facts
from headstart.sources.base import SoundInput, Source

# Quieter than this on average, in decibels below full scale, a recording holds little but its own noise.
_FAINT = -60.0
# Recordings that were made too loud have whole runs at full scale; a peak that just touches it is no such thing.
_CLIPPED = 1e-3
_MOST_RATES = 3


def remarks_on_sounds(described: NDArray[np.float16], sources: Sequence[Source]) -> tuple[str, ...]:
    """One sentence each, from the descriptors of the clips that could be read."""
    found = facts(described)
    notes = [_windows(found, source) for source in sources]
    notes.append(_quality(found))
    return tuple(note for note in notes if note)


def remarks_on_speech(found: Facts, name: str, rate: int) -> tuple[str, ...]:
    """The same of clips for the recogniser `name`, which hears `rate` Hz."""
    return tuple(note for note in (_rates(found, name, rate), _quality(found)) if note)


def _windows(found: Facts, source: Source) -> str:
    how = source.input
    assert isinstance(how, SoundInput)
    longer = int((found.seconds > how.seconds).sum())
    cut = f": {_clips(longer)} {_is(longer)} longer, and cut into several" if longer else ""
    return f"{_rates(found, source.name, how.rate)}; windows of up to {how.seconds:g} s{cut}"


def _rates(found: Facts, name: str, rate: int) -> str:
    counted = sorted(zip(*np.unique(found.rates, return_counts=True), strict=True), key=lambda one: (-one[1], one[0]))
    others = [(int(other), int(count)) for other, count in counted if other != rate]
    told = [f"{_clips(count)} of {other:,} Hz" for other, count in others[:_MOST_RATES]]
    if len(others) > _MOST_RATES:
        told.append(f"{_clips(sum(count for _, count in others[_MOST_RATES:]))} of other rates")
    several = sum(count for _, count in others)
    resampled = f"{_listed(told)} {_is(several)} resampled" if told else "the rate of all clips"
    return f"{name} hears {rate:,} Hz: {resampled}"


def _quality(found: Facts) -> str:
    """What may be wrong with the recordings; nothing where all is well."""
    faint, clipped = int((found.levels < _FAINT).sum()), int((found.clipped >= _CLIPPED).sum())
    told = []
    if faint:
        told.append(f"{_clips(faint)} {_is(faint)} nearly silent (below {_FAINT:g} dB)")
    if clipped:
        told.append(f"{_clips(clipped)} {_is(clipped)} clipped ({_CLIPPED:.1%} of the samples or more at full scale)")
    return f"{_listed(told)}: listen to some of them" if told else ""


def _clips(count: int) -> str:
    return f"{count:,} clip{'' if count == 1 else 's'}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
