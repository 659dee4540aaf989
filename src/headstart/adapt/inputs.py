"""What a network is fed: batches of items as the frozen features' pipeline prepares them, varied in training.

Images and sounds are decoded once and varied anew each time, or a few views of what a frozen trunk said of them are
there, one drawn each time; texts, or what a trunk said of their tokens, are always as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.activations import Activations, item_keys
from headstart.adapt.augment import augment
from headstart.adapt.base import Job, Rows
from headstart.adapt.cuts import Cut
from headstart.adapt.sound_inputs import Sounds, SoundViews
from headstart.adapt.trunk import PLAIN, image_rows, pixel_rows, text_rows
from headstart.errors import ItemError
from headstart.features.blocks import Features
from headstart.features.images import normalise
from headstart.features.texts import Ids, feeds, load_tokenizer, tokenise
from headstart.sources.base import ImageInput, Tap, TextInput

Feeds = dict[str, NDArray[Any]]
_ROUND = 4  # tokens: fewer shapes for kernels to be made for


class Inputs(Protocol):
    """Feeds for some of a job's items, by position.

    Attributes:
        trouble: why activations stay in memory; empty where they do not.
        most: items that may go through a network together; None for as many as a step has.
    """

    @property
    def trouble(self) -> str: ...

    @property
    def most(self) -> int | None: ...

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        """The graph's inputs for a batch; `rng` draws how each item is varied, None for as it is."""

    def lengths(self, positions: Rows) -> NDArray[np.int64] | None:
        """Tokens of each text; None for others, which may go through a network together as they come."""


def inputs_of(job: Job, cut: Cut | None, train: Rows, others: Rows, views: int, taps: Sequence[Tap] = ()) -> Inputs:
    """What the training and other rows of a job are fed as; what is frozen is computed here.

    Args:
        cut: where the frozen trunk ends; None where nothing is frozen.
        others: rows that are only scored, and so needed as they are.
        views: how many of each training image, where there is a cut.
        taps: what a head reads; those below the cut are fed too, as the frozen source has them.

    Raises:
        ItemError: an item cannot be read, though its features could.
        EngineError: the trunk does not run.
    """
    if cut is None:
        return _whole(job, train, others)
    found = _above(job, cut, train, others, views)
    below = tuple(tap for tap in taps if tap.depth <= cut.depth)
    return _WithTaps(found, job.features, below) if below else found


def _whole(job: Job, train: Rows, others: Rows) -> Inputs:
    if job.source.modality == "text":
        return _Texts.of(job)
    return _Images.of(job, train, others) if job.source.modality == "image" else Sounds.of(job, train, others)


def _above(job: Job, cut: Cut, train: Rows, others: Rows, views: int) -> Inputs:
    if job.source.modality == "text":
        return _TokenRows.of(job, cut, _Texts.of(job), np.concatenate([train, others]))
    kind = _ImageViews if job.source.modality == "image" else SoundViews
    return kind.of(job, cut, train, others, views)


@dataclass(frozen=True, eq=False)
class _WithTaps:
    """Other inputs, and the frozen features of taps below the cut: of an item as it is, however it is varied."""

    inputs: Inputs
    features: Features
    taps: tuple[Tap, ...]

    @property
    def trouble(self) -> str:
        return self.inputs.trouble

    @property
    def most(self) -> int | None:
        return self.inputs.most

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        frozen = {tap.name: self.features.select([tap], positions) for tap in self.taps}
        return self.inputs.feeds(positions, rng) | frozen

    def lengths(self, positions: Rows) -> NDArray[np.int64] | None:
        return self.inputs.lengths(positions)


@dataclass(frozen=True, eq=False)
class _Images:
    """Decoded images, varied anew each time."""

    how: ImageInput
    rows: Activations
    keys: dict[int, bytes]
    most: None = None

    @classmethod
    def of(cls, job: Job, train: Rows, others: Rows) -> _Images:
        assert isinstance(job.source.input, ImageInput)
        positions = np.unique(np.concatenate([train, others]))
        rows = pixel_rows(job, positions)
        keys = item_keys(job.features.matrix, PLAIN, positions)
        return cls(job.source.input, rows, dict(zip(positions.tolist(), keys, strict=True)))

    @property
    def trouble(self) -> str:
        return self.rows.trouble

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        pictures = self.rows.take([self.keys[int(p)] for p in positions])
        if rng is not None:
            seeds = rng.integers(2**63, size=len(pictures))
            pictures = [augment(rgb, np.random.default_rng(seed)) for rgb, seed in zip(pictures, seeds, strict=True)]
        return {"image": np.stack([normalise(rgb, self.how) for rgb in pictures])}

    def lengths(self, positions: Rows) -> None:
        return None


@dataclass(frozen=True, eq=False)
class _ImageViews:
    """Activations of a few views of each image; one is drawn each time."""

    tensor: str
    rows: Activations
    keys: list[dict[int, bytes]]
    most: None = None

    @classmethod
    def of(cls, job: Job, cut: Cut, train: Rows, others: Rows, views: int) -> _ImageViews:
        wanted = [np.union1d(train, others), *[np.unique(train)] * (views - 1)]
        rows = image_rows(job, cut, wanted)
        keys = [
            dict(zip(some.tolist(), item_keys(job.features.matrix, view, some), strict=True))
            for view, some in enumerate(wanted)
        ]
        return cls(cut.tensor, rows, keys)

    @property
    def trouble(self) -> str:
        return self.rows.trouble

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        n = len(positions)
        views = np.zeros(n, np.int64) if rng is None else rng.integers(len(self.keys), size=n)
        rows = self.rows.take([self.keys[view][int(p)] for view, p in zip(views, positions, strict=True)])
        return {self.tensor: np.stack(rows)}

    def lengths(self, positions: Rows) -> None:
        return None


@dataclass(frozen=True, eq=False)
class _Texts:
    """Token ids of all items; the same in training as out of it."""

    how: TextInput
    ids: Sequence[Ids]
    trouble: str = ""
    most: None = None

    @classmethod
    def of(cls, job: Job) -> _Texts:
        how = job.source.input
        assert isinstance(how, TextInput)
        found = tokenise([str(item) for item in job.items], load_tokenizer(job.source.tokenizer, how), how)
        ids = []
        for position, one in enumerate(found):
            if isinstance(one, str):
                raise ItemError(f"item {position} cannot be read: {one}")
            ids.append(one)
        return cls(how, ids)

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        return dict(feeds([self.ids[int(p)] for p in positions], self.how))

    def lengths(self, positions: Rows) -> NDArray[np.int64]:
        return np.array([len(self.ids[int(p)]) for p in positions], np.int64)


@dataclass(frozen=True, eq=False)
class _TokenRows:
    """What a trunk said of each token, padded with zeros, and the inputs that the rest of the graph needs too."""

    cut: Cut
    texts: _Texts
    rows: Activations
    keys: dict[int, bytes]
    most: None = None

    @classmethod
    def of(cls, job: Job, cut: Cut, texts: _Texts, positions: Rows) -> _TokenRows:
        positions = np.unique(positions)
        rows = text_rows(job, cut, texts.ids, positions)
        keys = item_keys(job.features.matrix, PLAIN, positions)
        return cls(cut, texts, rows, dict(zip(positions.tolist(), keys, strict=True)))

    @property
    def trouble(self) -> str:
        return self.rows.trouble

    def feeds(self, positions: Rows, rng: np.random.Generator | None) -> Feeds:
        given = self.texts.feeds(positions, rng)
        rows = self.rows.take([self.keys[int(p)] for p in positions])
        padded = np.zeros((len(rows), given["input_ids"].shape[1], *rows[0].shape[1:]), rows[0].dtype)
        for goal, row in zip(padded, rows, strict=True):
            goal[: len(row)] = row
        return {self.cut.tensor: padded} | {name: given[name] for name in self.cut.inputs}

    def lengths(self, positions: Rows) -> NDArray[np.int64]:
        return self.texts.lengths(positions)
