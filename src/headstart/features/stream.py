"""Items in, rows out: prepared and run by a pool of threads, a bounded number at a time.

Each worker takes a few items through all steps, so that there are no queues between steps to balance. On a CPU files
are run one by one: batches gain nothing there, and a file's row cannot depend on its neighbours.
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
from headstart.features.reader import Reader, Seen
from headstart.features.texts import Ids, batches, feeds, load_tokenizer, tokenise
from headstart.features.windowed import windowed
from headstart.sources.base import TextInput

# Files that a worker takes at a time: more where there are thousands, and on a GPU, where they may be run side by side.
_FEW, _MORE, _MANY = 8, 16, 64
_THOUSANDS = 2_000
# Bytes of prepared items, beyond which a worker runs them before it goes on.
_HELD = 1 << 21
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
        key: the name of a file's content; empty for a text, and where a file could not be read.
        row: (D,) float16, where it was needed and found.
        described: (d,) float16, what its reader's `describe` says of it, the same.
        failure: why it could not be read, or nothing.
    """

    position: int
    key: bytes = b""
    row: NDArray[np.float16] | None = None
    described: NDArray[np.float16] | None = None
    failure: str = ""


# Asked of each file (its position, its content's key) by the worker that read it: many threads at once.
Ask = Callable[[int, bytes], Need]


def stream_files(
    items: Sequence[Path], positions: Sequence[int], encoder: Encoder, ask: Ask, reader: Reader
) -> Generator[list[Embedded], None, None]:
    """The files at `positions`, in that order, some at a time."""
    on_cpu = encoder.device == "cpu"
    few = _FEW if len(positions) < _THOUSANDS else _MORE
    size = _MANY if reader.alike and not on_cpu else few
    parts = (positions[i : i + size] for i in range(0, len(positions), size))
    prepare = partial(_prepare, items, encoder, ask, reader)
    run = partial(_run_each, encoder, reader, prepare)
    if on_cpu:
        yield from windowed((partial(run, part) for part in parts), encoder.workers)
    else:
        for prepared in windowed((partial(_listed, reader, prepare, part) for part in parts), encoder.workers):
            yield _run_together(encoder, reader, prepared)


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
    """A file on its way: what is done of it, and what was seen of it for the graph and for its description."""

    done: Embedded
    seen: Seen = Seen()


def _prepare(
    items: Sequence[Path], encoder: Encoder, ask: Ask, reader: Reader, part: Sequence[int]
) -> Iterator[_Prepared]:
    for position in part:
        key = b""
        try:
            data = read_file(Path(items[position]), reader.too_large)
            key = content_key(data)
            need = ask(position, key)
            if not any(need):
                yield _Prepared(Embedded(position, key))
                continue
            seen = reader.see(data, encoder.input if need.row else None, described=need.described)
        except ItemError as error:
            yield _Prepared(Embedded(position, key, failure=str(error)))
            continue
        yield _Prepared(Embedded(position, key), seen)


def _described(reader: Reader, prepared: Sequence[_Prepared]) -> list[_Prepared]:
    """All of them together: an image alone takes twice as long, most of it under Python's lock."""
    looks = [one.seen.look for one in prepared if one.seen.look is not None]
    if not looks:
        return list(prepared)
    rows = iter(reader.describe(looks))
    return [
        one if one.seen.look is None else _Prepared(replace(one.done, described=next(rows)), Seen(one.seen.values))
        for one in prepared
    ]


def _listed(
    reader: Reader, prepare: Callable[[Sequence[int]], Iterator[_Prepared]], part: Sequence[int]
) -> list[_Prepared]:
    return _described(reader, list(prepare(part)))


def _run_each(
    encoder: Encoder, reader: Reader, prepare: Callable[[Sequence[int]], Iterator[_Prepared]], part: Sequence[int]
) -> list[Embedded]:
    """A few files prepared, then each by itself through the graph.

    A graph's weights and what prepares the next file drive each other out of a core's cache, so they take turns seldom:
    with clips of 0.4 s preparing took twice as long when they took turns at each.
    """
    run: list[_Prepared] = []
    waiting: list[_Prepared] = []
    for prepared in prepare(part):
        waiting.append(prepared)
        if sum(one.seen.size for one in waiting) > _HELD:
            run += _run_apart(encoder, reader, waiting)
            waiting = []
    run += _run_apart(encoder, reader, waiting)
    return [one.done for one in _described(reader, run)]


def _run_apart(encoder: Encoder, reader: Reader, waiting: Sequence[_Prepared]) -> list[_Prepared]:
    return [_Prepared(_run_together(encoder, reader, [one])[0], Seen(look=one.seen.look)) for one in waiting]


def _run_together(encoder: Encoder, reader: Reader, prepared: Sequence[_Prepared]) -> list[Embedded]:
    values = [one.seen.values for one in prepared if one.seen.values is not None]
    rows = iter(reader.rows(encoder, values)) if values else iter(())
    return [one.done if one.seen.values is None else _with_row(one.done, next(rows)) for one in prepared]


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
