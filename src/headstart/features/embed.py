"""Embedding: a source applied to items, each distinct one once, and what is known taken from the cache."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headstart.engines.choose import EngineGoneError, choose, forget_if_far_off
from headstart.engines.memory import Choice
from headstart.features.blocks import Features
from headstart.features.cache import FeatureCache, Space, open_cache
from headstart.features.encoder import Encoder, open_encoder
from headstart.features.files import KEY_BYTES, file_key, text_key
from headstart.features.ledger import Ledger
from headstart.features.reader import Reader
from headstart.features.readers import READERS
from headstart.features.stream import stream_files, stream_texts
from headstart.progress import SILENT, Progress
from headstart.sources.base import Source

# Part of the name of a feature space: raise it when the same item would be prepared otherwise.
PREPROCESSING_VERSION = 1
# The name of a content is a few bytes, and saves reading the file: it goes last. Descriptors go before sources' rows.
_FILES = Space("files seen", "content of a file by its place, size and time", KEY_BYTES, "uint8", cost=1 << 40)


def embed(
    items: Sequence[Path] | Sequence[str],
    source: Source,
    *,
    choice: Choice | None = None,
    use_cache: bool = True,
    progress: Progress = SILENT,
    described: bool = False,
) -> Features:
    """The features of n images, sounds or texts.

    Values and their order depend neither on the number of workers nor on what was cached. An item that cannot be read
    is a failure with a reason; the others go on. Results reach the cache twice a second, so an interrupted run resumes.

    Args:
        items: paths of files, or texts, as the source wants them.
        choice: the engine; by default the one chosen for this source on this machine. If it no longer opens, that is
            said and ONNX Runtime takes its place for all items: `Features.choice` tells.
        use_cache: False to neither read nor write the cache.
        progress: shows a bar "embed".
        described: also describe files without the source (see `reader`), from the same decoding.

    Raises:
        EngineError: the graph cannot be run.
    """
    choice = choice or choose(source, progress=progress)
    try:
        return _embed(items, source, choice, use_cache, progress, described)
    except EngineGoneError as error:
        # From the beginning: rows of two precisions may not stand in one matrix, nor one's in the other's cache.
        progress.say(str(error))
        return _embed(items, source, error.instead, use_cache, progress, described)


def _embed(
    items: Sequence[Path] | Sequence[str],
    source: Source,
    choice: Choice,
    use_cache: bool,
    progress: Progress,
    described: bool,
) -> Features:
    encoder, reader = open_encoder(source, choice, progress=progress), READERS.get(source.modality)
    with ExitStack() as stack:
        caches = _open_caches(source, reader, choice, progress, stack) if use_cache else _Caches()
        width = reader.space.width if reader is not None and described else 0
        ledger = Ledger(len(items), source.width, caches.rows, width, caches.described)
        with progress.bar("embed", source.name, len(items), "texts" if reader is None else reader.unit) as bar:
            if reader is None:
                work = _texts(items, encoder, ledger)
            else:
                work = _files(items, encoder, ledger, caches.files, reader)
            started = time.perf_counter()
            # Closing it ends the workers, which ask the caches, before the caches are closed.
            with closing(work):
                for step in work:
                    if step.cached:
                        bar.advance(step.cached, cached=True)
                    bar.advance(step.done)
            seconds = time.perf_counter() - started
    if reader is not None and reader.alike:  # others are of other lengths than those that engines are measured with
        forget_if_far_off(source, choice, encoder.pace.items, encoder.pace.seconds)
    return Features(
        taps=source.taps,
        matrix=ledger.rows.values,
        failures=ledger.failures,
        seconds=seconds,
        cached=ledger.cached,
        described=None if ledger.described is None else ledger.described.values,
        choice=choice,
    )


@dataclass(frozen=True)
class _Caches:
    """What is kept on disk of a run: rows of features, descriptors, and the contents of files seen before."""

    rows: FeatureCache | None = None
    described: FeatureCache | None = None
    files: FeatureCache | None = None


def _open_caches(
    source: Source, reader: Reader | None, choice: Choice, progress: Progress, stack: ExitStack
) -> _Caches:
    """The caches, closed with `stack`; of their troubles only the first is told."""
    told: list[str] = []

    def say(line: str) -> None:
        if not told:
            progress.say(line)
        told.append(line)

    how = "fp32" if choice.precision == "fp32" else f"{choice.engine} {choice.precision}"
    identity = f"{source.fingerprint} v{PREPROCESSING_VERSION} {how}"
    space = Space(source.name, identity, source.width, "float16", cost=source.parameters // source.width)
    rows = stack.enter_context(open_cache(space, say=say))
    if reader is None:
        return _Caches(rows)
    described, files = (stack.enter_context(open_cache(space, say=say)) for space in (reader.space, _FILES))
    return _Caches(rows, described, files)


class _Step(NamedTuple):
    """How many items were worked on since the last step, and how many were only looked up."""

    done: int
    cached: int = 0


def _files(
    items: Sequence[Path | str], encoder: Encoder, ledger: Ledger, files: FeatureCache | None, reader: Reader
) -> Generator[_Step, None, None]:
    """Embed what is not known; gives how many items are through, as they are."""
    paths = [item if isinstance(item, Path) else Path(item) for item in items]
    states = [file_key(path) for path in paths]
    contents = np.zeros((len(items), KEY_BYTES), np.uint8)
    seen = np.zeros(len(items), bool) if files is None else files.get_many(states, contents)
    ledger.recall([contents[i].tobytes() if seen[i] else None for i in range(len(items))])
    outstanding = ledger.outstanding()
    yield _Step(0, len(items) - len(outstanding))
    told = ledger.cached
    new: list[tuple[bytes, bytes]] = []
    stream = stream_files(paths, outstanding, encoder, ledger.ask, reader)
    try:
        for done in stream:
            ledger.add(done)
            new += [(state, one.key) for one in done if one.key and (state := states[one.position])]
            # Files that are new by their place and known by their content; the workers are some steps ahead.
            cached = min(ledger.cached - told, len(done))
            told += cached
            yield _Step(len(done) - cached, cached)
    finally:
        stream.close()
        ledger.flush()
        if files is not None:
            keys = np.frombuffer(b"".join(key for _, key in new), np.uint8).reshape(-1, KEY_BYTES)
            files.put_many([state for state, _ in new], keys)
    ledger.settle()


def _texts(items: Sequence[Path | str], encoder: Encoder, ledger: Ledger) -> Generator[_Step, None, None]:
    """Embed what is not known; gives how many items are through, as they are."""
    texts = [str(item) for item in items]
    keys = [text_key(text) for text in texts]
    ledger.recall(keys)
    outstanding = ledger.outstanding()
    yield _Step(0, len(items) - len(outstanding))
    distinct = [position for position in outstanding if any(ledger.ask(position, keys[position]))]
    try:
        for done in stream_texts(texts, distinct, encoder):
            ledger.add(done)
            yield _Step(len(done))
    finally:
        ledger.flush()
    ledger.settle()
    yield _Step(len(outstanding) - len(distinct))
