"""Items in, rows out: prepared and run by a pool of threads, a bounded number at a time.

Each worker takes a few items through all steps, so that there are no queues between steps to balance. On a CPU images
are run one by one: batches gain nothing there, and an image's row cannot depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ItemError
from headstart.features.encoder import Encoder
from headstart.features.files import content_key, read_file
from headstart.features.hog import describe_rows
from headstart.features.images import look, normalise
from headstart.features.texts import Ids, batches, feeds, load_tokenizer, tokenise
from headstart.features.windowed import windowed
from headstart.sources.base import ImageInput, TextInput

_IMAGES_CPU, _IMAGES_CUDA = 8, 64
# Texts are sorted by length within this many.
_TEXTS = 8192


class Need(NamedTuple):
    """What is still wanted of an item."""

    row: bool
    described: bool


@dataclass(frozen=True, eq=False)
class Embedded:
    """What became of one item.

    Attributes:
        position: of the item.
        key: the name of an image's content; empty for a text, and where a file could not be read.
        row: (D,) float16, where it was needed and found.
        described: (d,) float16, what `hog.describe` says of it, the same.
        failure: why it could not be read, or nothing.
    """

    position: int
    key: bytes = b""
    row: NDArray[np.float16] | None = None
    described: NDArray[np.float16] | None = None
    failure: str = ""


# Asked of each image (its position, its content's key) by the worker that read it: many threads at once.
Ask = Callable[[int, bytes], Need]


def stream_images(
    items: Sequence[Path], positions: Sequence[int], encoder: Encoder, ask: Ask
) -> Generator[list[Embedded], None, None]:
    """The images at `positions`, in that order, some at a time."""
    on_cpu = encoder.device == "cpu"
    size = _IMAGES_CPU if on_cpu else _IMAGES_CUDA
    parts = (positions[i : i + size] for i in range(0, len(positions), size))
    prepare = partial(_prepare_images, items, encoder, ask)
    if on_cpu:
        yield from windowed((partial(_run_each, encoder, prepare, part) for part in parts), encoder.workers)
    else:
        for prepared in windowed((partial(_listed, prepare, part) for part in parts), encoder.workers):
            yield _run_together(encoder, prepared)


def stream_texts(
    texts: Sequence[str], positions: Sequence[int], encoder: Encoder
) -> Generator[list[Embedded], None, None]:
    """The texts at `positions`, some at a time, in an order of their lengths."""
    jobs = _text_jobs(texts, positions, encoder)
    if encoder.device == "cpu":
        yield from windowed(jobs, encoder.workers)
    else:
        for job in jobs:
            yield job()


class _Prepared(NamedTuple):
    """An image on its way: what is done of it, the graph's input where a row is needed, and its thumbnail likewise."""

    done: Embedded
    values: NDArray[np.float32] | None = None
    thumbnail: NDArray[np.uint8] | None = None


def _prepare_images(items: Sequence[Path], encoder: Encoder, ask: Ask, part: Sequence[int]) -> Iterator[_Prepared]:
    assert isinstance(encoder.input, ImageInput)
    for position in part:
        key = b""
        try:
            data = read_file(Path(items[position]))
            key = content_key(data)
            need = ask(position, key)
            if not any(need):
                yield _Prepared(Embedded(position, key))
                continue
            views = look(data, encoder.input if need.row else None, thumbnail=need.described)
        except ItemError as error:
            yield _Prepared(Embedded(position, key, failure=str(error)))
            continue
        values = None if views.pixels is None else normalise(views.pixels, encoder.input)
        yield _Prepared(Embedded(position, key), values, views.thumbnail)


def _described(prepared: Sequence[_Prepared]) -> list[_Prepared]:
    """All of them together: an image alone takes twice as long, most of it under Python's lock."""
    thumbnails = [one.thumbnail for one in prepared if one.thumbnail is not None]
    if not thumbnails:
        return list(prepared)
    rows = iter(describe_rows(np.stack(thumbnails)))
    return [
        one if one.thumbnail is None else _Prepared(replace(one.done, described=next(rows)), one.values)
        for one in prepared
    ]


def _listed(prepare: Callable[[Sequence[int]], Iterator[_Prepared]], part: Sequence[int]) -> list[_Prepared]:
    return _described(list(prepare(part)))


def _run_each(
    encoder: Encoder, prepare: Callable[[Sequence[int]], Iterator[_Prepared]], part: Sequence[int]
) -> list[Embedded]:
    """One image after the other through the graph, so that one graph's input is held at a time."""
    run = [_Prepared(_run_together(encoder, [prepared])[0], thumbnail=prepared.thumbnail) for prepared in prepare(part)]
    return [one.done for one in _described(run)]


def _run_together(encoder: Encoder, prepared: Sequence[_Prepared]) -> list[Embedded]:
    values = [one.values for one in prepared if one.values is not None]
    feed = values[0][None] if len(values) == 1 else np.stack(values) if values else None
    rows = iter(()) if feed is None else iter(encoder.rows({"image": feed}))
    return [one.done if one.values is None else _with_row(one.done, next(rows)) for one in prepared]


def _text_jobs(
    texts: Sequence[str], positions: Sequence[int], encoder: Encoder
) -> Iterator[Callable[[], list[Embedded]]]:
    how = encoder.input
    assert isinstance(how, TextInput)
    assert encoder.tokenizer is not None
    tokenizer = load_tokenizer(encoder.tokenizer, how)
    for start in range(0, len(positions), _TEXTS):
        part = positions[start : start + _TEXTS]
        found = tokenise([texts[position] for position in part], tokenizer, how)
        refused = [Embedded(p, failure=one) for p, one in zip(part, found, strict=True) if isinstance(one, str)]
        if refused:
            yield partial(list, refused)
        good = [(p, one) for p, one in zip(part, found, strict=True) if not isinstance(one, str)]
        for batch in batches(np.array([len(ids) for _, ids in good], np.int64), how):
            yield partial(_run_texts, encoder, how, [good[i] for i in batch])


def _run_texts(encoder: Encoder, how: TextInput, batch: Sequence[tuple[int, Ids]]) -> list[Embedded]:
    rows = encoder.rows(feeds([ids for _, ids in batch], how))
    return [_with_row(Embedded(position), row) for (position, _), row in zip(batch, rows, strict=True)]


def _with_row(done: Embedded, row: NDArray[np.float16]) -> Embedded:
    if np.isnan(row).any():
        return replace(done, failure="the source gives no number for this item (NaN)")
    return replace(done, row=row)
