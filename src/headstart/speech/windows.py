"""Long recordings: what a window of 30 s holds for certain, and where the next one starts.

The rule is that of Whisper's own `transcribe` (Radford et al. 2022, section 4.5 and its code): text between two
timestamps is a segment. Where the window ends in two timestamps side by side, or in text after them, the recogniser saw
the beginning of something that the window cuts off: the next window starts at the last of these timestamps, and hears
it whole. Where it ends in a single timestamp, nothing is said after it, and the next window starts where this one ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headstart.speech.tokens import STEP

SECONDS = 30.0


@dataclass(frozen=True)
class Piece:
    """Token ids, timestamps not among them, from `start` to `end` seconds of the window."""

    start: float
    end: float
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """The pieces of a window, in order, none without text, and by how many seconds to advance."""

    pieces: tuple[Piece, ...]
    advance: float


def cut(ids: Sequence[int], first_stamp: int, seconds: float) -> Window:
    """What the tokens of a window say.

    Args:
        ids: text and timestamps as they were produced.
        first_stamp: the id of 0 s.
        seconds: the length of the window, at most SECONDS.
    """
    stamps = [token >= first_stamp for token in ids]
    pairs = [k for k in range(1, len(ids)) if stamps[k - 1] and stamps[k]]  # where the second of two stands
    whole = stamps[-2:] == [False, True] or not pairs
    bounds = [0, *pairs, *([len(ids)] if whole else [])]
    pieces: list[Piece] = []
    for start, end in pairwise(bounds):
        pieces += _pieces(ids[start:end], first_stamp, seconds)
    reached = seconds if whole else (ids[pairs[-1] - 1] - first_stamp) * STEP
    return Window(tuple(pieces), reached if 0 < reached <= seconds else seconds)


def _pieces(ids: Sequence[int], first_stamp: int, seconds: float) -> Iterator[Piece]:
    """The text of `ids`, if there is text, from the timestamp before it to that after it, or the window's end."""
    text = tuple(token for token in ids if token < first_stamp)
    if not text:
        return
    start = min((ids[0] - first_stamp) * STEP, seconds) if ids[0] >= first_stamp else 0.0
    end = min((ids[-1] - first_stamp) * STEP, seconds) if ids[-1] >= first_stamp else seconds
    yield Piece(start, max(start, end), text)
