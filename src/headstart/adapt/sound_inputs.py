"""What a network is fed of sounds: windows that are prepared anew each time, or a few views of what a trunk said.

In training a step sees one window of each item; where a network is read, it sees all of them, as predictions do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.activations import Activations, item_keys
from headstart.adapt.base import Job, Rows
from headstart.adapt.cuts import Cut
from headstart.adapt.hearing import Heard, input_name, plain, varied
from headstart.adapt.ragged import padded
from headstart.adapt.sound_rows import sample_rows, sound_rows, windows_of
from headstart.adapt.trunk import PLAIN
from headstart.sources.base import SoundInput

Feeds = dict[str, NDArray[Any]]

_TOGETHER, _POSITIONS = 32, 300  # so many windows of so many positions go through a network together
_POSITIONS_A_SECOND = 50.0  # of Whisper, wav2vec 2.0 and most


def together(positions: float) -> int:
    """How many windows of so many positions go through a network at a time: attention takes their square."""
    return max(1, min(_TOGETHER, int(_TOGETHER * (_POSITIONS / max(positions, 1.0)) ** 2)))


@dataclass(frozen=True, eq=False)
class Sounds:
    """Decoded sounds, varied and prepared anew each time. See `inputs.Inputs`."""

    how: SoundInput
    rows: Activations
    keys: dict[int, bytes]
    most: int

    @classmethod
    def of(cls, job: Job, train: Rows, others: Rows) -> Sounds:
        how = job.source.input
        assert isinstance(how, SoundInput)
        positions = np.unique(np.concatenate([train, others]))
        rows = sample_rows(job, positions)
        keys = item_keys(job.features.matrix, PLAIN, positions)
        longest = max(len(row) for row in rows.take(keys)) / how.rate
        window = how.seconds if how.frames else min(longest, how.seconds)
        most = together(window * _POSITIONS_A_SECOND)
        return cls(how, rows, dict(zip(positions.tolist(), keys, strict=True)), most)

    @property
    def trouble(self) -> str:
        return self.rows.trouble

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        samples = self.rows.take([self.keys[int(p)] for p in positions])
        if rng is None:
            return _all(input_name(self.how), [plain(np.asarray(one), self.how) for one in samples])
        seeds = rng.integers(2**63, size=len(samples))
        drawn: list[Heard] = [
            varied(np.asarray(one), self.how, np.random.default_rng(seed))
            for one, seed in zip(samples, seeds, strict=True)
        ]
        return padded(input_name(self.how), drawn)

    def lengths(self, positions: Rows) -> None:
        return None


@dataclass(frozen=True, eq=False)
class SoundViews:
    """Activations of a few views of each sound; one is drawn each time. See `inputs.Inputs`."""

    tensor: str
    rows: Activations
    keys: list[dict[int, list[bytes]]]  # view -> item -> its windows
    most: int

    @classmethod
    def of(cls, job: Job, cut: Cut, train: Rows, others: Rows, views: int) -> SoundViews:
        wanted = [np.union1d(train, others), *[np.unique(train)] * (views - 1)]
        rows = sound_rows(job, cut, wanted)
        keys = [
            {
                int(p): windows_of(rows, key)
                for p, key in zip(some, item_keys(job.features.matrix, view, some), strict=True)
            }
            for view, some in enumerate(wanted)
        ]
        longest = max(len(rows.take(windows[:1])[0]) for windows in keys[PLAIN].values())
        return cls(cut.tensor, rows, keys, together(longest))

    @property
    def trouble(self) -> str:
        return self.rows.trouble

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        if rng is None:
            return _all(self.tensor, [self.rows.take(self.keys[PLAIN][int(p)]) for p in positions])
        views, draws = rng.integers(len(self.keys), size=len(positions)), rng.random(len(positions))
        drawn = []
        for view, draw, p in zip(views, draws, positions, strict=True):
            windows = self.keys[view][int(p)]
            drawn.append(windows[int(draw * len(windows))])
        return padded(self.tensor, self.rows.take(drawn))

    def lengths(self, positions: Rows) -> None:
        return None


def _all(name: str, items: Sequence[Sequence[NDArray[Any]]]) -> Feeds:
    """Feeds of every window of every item."""
    owners = [k for k, windows in enumerate(items) for _ in windows]
    several = len(owners) > len(items)
    return padded(name, [window for windows in items for window in windows], owners if several else None)
