"""Decoded sounds, and what a frozen trunk says of them, kept on disk: once an item and view.

Of an item as it is there are all windows; of each varied view one, drawn as the view is. The windows of an item and
view lie in one segment, each under a key of its own, so that its windows are those that are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.activations import Activations, item_keys
from headstart.adapt.base import Job, Rows
from headstart.adapt.cuts import Cut
from headstart.adapt.extent import extent
from headstart.adapt.hearing import Heard, input_name, plain, samples_of, varied
from headstart.adapt.trunk import (
    PLAIN,
    TOGETHER,
    VERSION,
    Trunk,
    absent_views,
    engine_of,
    half,
    identity,
    opened,
    parts,
)
from headstart.engines.choose import choose
from headstart.features.embed import PREPROCESSING_VERSION
from headstart.features.sounds import Samples
from headstart.features.windowed import windowed
from headstart.sources.base import SoundInput

_SAMPLE_BYTES = 4


def sample_rows(job: Job, positions: Rows) -> Activations:
    """The sounds of `positions`, (t,) float32 at the source's rate, kept like activations.

    Raises:
        ItemError: one cannot be read.
    """
    how = job.source.input
    assert isinstance(how, SoundInput)
    store = Activations(f"samples v{VERSION}.{PREPROCESSING_VERSION} {how.rate} {job.source.fingerprint}")
    keys = item_keys(job.features.matrix, PLAIN, positions)
    absent = store.missing(keys)
    some = parts(len(absent), round(_SAMPLE_BYTES * how.rate * extent(job).seconds))
    with job.progress.bar("decode", job.source.name, len(absent), "clips") as bar:
        jobs = (partial(_decoded, job, [int(positions[absent[i]]) for i in part], how) for part in some)
        for part, rows in zip(some, windowed(jobs, choose(job.source).workers), strict=True):
            store.put([keys[absent[i]] for i in part], rows)
            bar.advance(len(part))
    return store


def sound_rows(job: Job, cut: Cut, wanted: Sequence[Rows]) -> Activations:
    """What the trunk says of sounds, (t, ...) float16 a window.

    Args:
        wanted: for each view the positions of the sounds that are wanted in it.

    Raises:
        ItemError: one cannot be read.
    """
    choice = engine_of(job)
    store = Activations(identity(job, cut, choice))
    if not (items := absent_views(store, job, wanted)):
        return store
    row_bytes = round(2 * int(np.prod(cut.shape)) * extent(job).of_views(len(wanted)))
    with opened(job, cut, choice) as trunk, job.progress.bar("trunk", job.source.name, len(items), "clips") as bar:
        for part in parts(len(items), row_bytes):
            some = items[part.start : part.stop]
            jobs = (partial(_run, job, trunk, some[k : k + TOGETHER]) for k in range(0, len(some), TOGETHER))
            found = [pair for several in windowed(jobs, choice.workers) for pair in several]
            store.put([key for key, _ in found], [row for _, row in found])
            bar.advance(len(some))
    return store


def windows_of(store: Activations, key: bytes) -> list[bytes]:
    """The keys of the windows that are there of an item and view; `key` is theirs, and the first one's."""
    found: list[bytes] = []
    while (one := window_key(key, len(found))) in store:
        found.append(one)
    return found


def window_key(key: bytes, window: int) -> bytes:
    """The key of window 0, 1, ... of an item and view."""
    return key if window == 0 else hashlib.sha256(key + window.to_bytes(8, "big")).digest()


def _decoded(job: Job, positions: Sequence[int], how: SoundInput) -> list[Samples]:
    return [samples_of(Path(job.items[position]), how) for position in positions]


def _run(
    job: Job, trunk: Trunk, items: Sequence[tuple[int, list[tuple[int, bytes]]]]
) -> list[tuple[bytes, NDArray[np.float16]]]:
    """Key and row of every window of each item's views."""
    how, found = job.source.input, []
    assert isinstance(how, SoundInput)
    for position, views in items:
        samples = samples_of(Path(job.items[position]), how)
        for view, key in views:
            for window, heard in enumerate(_heard(samples, how, view, key)):
                row = half(trunk.run({input_name(how): heard[None]})[0])
                found.append((window_key(key, window), row))
    return found


def _heard(samples: Samples, how: SoundInput, view: int, key: bytes) -> list[Heard]:
    """A sound in a view: the same for the same item, wherever it stands."""
    if view == PLAIN:
        return plain(samples, how)
    return [varied(samples, how, np.random.default_rng([view, int.from_bytes(key[:8], "big")]))]
