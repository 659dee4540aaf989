"""Segments of a recording of at most 30 s: its text, cut where it pauses.

Whisper's own timestamps cost words where they are asked for of short clips, and a decoder that was tuned has learned
none within a clip. So the text is found without them. When its words begin is read off the attention to the encoder
(dynamic time warping, as in OpenAI's whisper/timing.py), which is wrong by as much as a silence is long; where the
silences are is heard by their loudness, to hundredths of a second. A word begins after the pause that it is nearest to.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from headstart.speech.tokens import Tokens
from headstart.speech.windows import Piece

Array = NDArray[np.float32]
Stretch = tuple[float, float]
_FRAME = 0.02  # seconds
_PAUSE, _CLICK = 0.4, 0.05  # seconds: the shortest silence that parts phrases; the longest sound that is none
_RANGE, _BELOW, _ABOVE = 15.0, 30.0, 6.0  # decibels: see `phrases`
_NEAR = 0.25  # seconds between a pause and the beginning of a word after it


def phrases(samples: Array, rate: int) -> list[Stretch]:
    """Where a recording sounds, from and to in seconds, parted by pauses; all of it where no silence can be told.

    Silent is what is 30 dB below the loudest twentieth, or within 6 dB of the quietest tenth, where these are 15 dB
    apart.
    """
    whole = [(0.0, len(samples) / rate)]
    size = round(_FRAME * rate)
    count = len(samples) // size
    if not count:
        return whole
    frames = samples[: count * size].reshape(count, size)
    power = np.square(frames - samples.mean(dtype=np.float64)).mean(axis=1)  # a constant offset is no sound
    levels = 10 * np.log10(power + 1e-12)  # (count,) dB
    quietest, loudest = np.quantile(levels, (0.1, 0.95))
    if loudest - quietest < _RANGE:
        return whole
    sounding = np.flatnonzero(levels > max(loudest - _BELOW, quietest + _ABOVE))
    cuts = np.flatnonzero(np.diff(sounding) * _FRAME > _PAUSE) + 1
    found = [(float(part[0] * _FRAME), float((part[-1] + 1) * _FRAME)) for part in np.split(sounding, cuts)]
    return [one for one in found if one[1] - one[0] > _CLICK] or whole


def cut_at_pauses(
    ids: Sequence[int], starts: Sequence[float], stretches: Sequence[Stretch], tokens: Tokens
) -> list[Piece]:
    """The text, cut at the pauses between stretches of sound where one of its words begins.

    Args:
        ids: of the text, no timestamps among them.
        starts: when each token begins, in seconds.
    """
    cuts: dict[int, Stretch] = {}  # the word that begins after a pause -> the pause
    words = _words(ids, tokens)
    for (_, silent), (sounds, _) in pairwise(stretches):
        apart = {k: max(silent - starts[k], starts[k] - sounds, 0.0) for k in words}
        nearest = min(words, key=lambda k: (apart[k], abs(starts[k] - sounds)), default=0)
        if nearest and apart[nearest] <= _NEAR:
            cuts[nearest] = (cuts.get(nearest, (silent, sounds))[0], sounds)
    found, begin, start = [], 0, stretches[0][0]
    for k, (silent, sounds) in sorted(cuts.items()):
        found.append(Piece(start, silent, tuple(ids[begin:k])))
        begin, start = k, sounds
    return [*found, Piece(start, stretches[-1][1], tuple(ids[begin:]))]


def _words(ids: Sequence[int], tokens: Tokens) -> list[int]:
    """Positions but the first at which a word begins; a character, in scripts without blanks between words."""
    spaced = [k for k in range(1, len(ids)) if tokens.decode([ids[k]]).startswith(" ")]
    return spaced or [k for k in range(1, len(ids)) if not tokens.decode(ids[:k]).endswith("\ufffd")]
