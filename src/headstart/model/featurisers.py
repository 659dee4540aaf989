"""From items to the matrix a head was fitted on, by what the artefact itself carries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.engines.base import Precision
from headstart.engines.failure import EXPORT_AGAIN
from headstart.errors import ArtefactError, EngineError, SourceError
from headstart.features.encoder import Encoder
from headstart.features.reader import Reader
from headstart.features.readers import READERS
from headstart.features.sound_facts import beside_facts
from headstart.features.stream import Need, stream_files, stream_texts
from headstart.model.damage import damage
from headstart.sources.base import SourceInput, Tap

Failures = dict[int, str]
# Image, sound: paths; text: strings; table: (n, d) float64.
Items = Sequence[Any] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """What one view says of a run of items.

    Attributes:
        matrix: (n, d) float32 or CSR; rows of failed items are zero.
        failures: position -> reason.
    """

    matrix: Any
    failures: Failures = field(default_factory=dict)


class Featuriser(Protocol):
    """One view of the artefact, ready to be applied."""

    def apply(self, items: Items) -> Block: ...


@dataclass(eq=False)
class SourceFeaturiser:
    """A frozen graph and how to prepare its input. The graph is opened at first use.

    Attributes:
        graphs: the graph for "fp32", and its quantised form for "int8" where it was fitted on that.
        engine, precision: what computed the features that the head was fitted on.
    """

    graphs: Mapping[Precision, Path]
    tokenizer: Path | None
    input: SourceInput
    taps: tuple[Tap, ...]
    engine: str
    precision: Precision

    @cached_property
    def _encoder(self) -> Encoder:
        from headstart.engines.choose import open_like

        names = [tap.name for tap in self.taps]
        session = open_like(self.graphs, names, engine=self.engine, precision=self.precision)
        return Encoder(session, self.input, self.taps, self.tokenizer, workers=os.cpu_count() or 1)

    def apply(self, items: Items) -> Block:
        """The taps' rows.

        Raises:
            ArtefactError: the graph or the tokenizer cannot be run, or does not give what the taps say.
        """
        try:
            with damage("the graph of a view"):
                return self._apply(items)
        except (EngineError, SourceError) as error:
            told = str(error).removesuffix(EXPORT_AGAIN).replace(f"{self.graphs['fp32'].parent}{os.sep}", "")
            raise ArtefactError(
                f"the graph of a view cannot be run ({told}): damaged file, or it asks for more than this machine has"
            ) from error

    def _apply(self, items: Items) -> Block:
        encoder, everything = self._encoder, range(len(items))
        matrix = np.zeros((len(items), encoder.width), np.float32)
        failures: Failures = {}
        given, reader = list(items), READERS.get(self.input.kind)
        if reader is None:
            stream = stream_texts(given, everything, encoder)
        else:
            stream = stream_files(given, everything, encoder, _row, reader)
        for embedded in (one for some in stream for one in some):
            if embedded.row is None:
                failures[embedded.position] = embedded.failure
            else:
                matrix[embedded.position] = embedded.row
        return Block(matrix, failures)


def _row(position: int, key: bytes) -> Need:
    """Every file needs its row, and no descriptor."""
    return Need(row=True, described=False)


@dataclass(frozen=True)
class HogFeaturiser:
    """Gradient histograms and colour statistics."""

    def apply(self, items: Items) -> Block:
        return Block(*_described(items, READERS["image"]))


@dataclass(frozen=True)
class LogmelFeaturiser:
    """Statistics of log-mel bands, cepstra and simple descriptors."""

    def apply(self, items: Items) -> Block:
        described, failures = _described(items, READERS["sound"])
        return Block(beside_facts(described), failures)


def _described(items: Items, reader: Reader) -> tuple[NDArray[np.float16], Failures]:
    from headstart.features.described import describe_files

    return describe_files([Path(item) for item in items], reader)


@dataclass(frozen=True)
class TfidfFeaturiser:
    """A fitted vocabulary."""

    vocabulary: Any

    def apply(self, items: Items) -> Block:
        return Block(self.vocabulary.transform(list(items)))


@dataclass(frozen=True)
class RowsFeaturiser:
    """Fitted medians and scales of a table."""

    scaler: Any

    def apply(self, items: Items) -> Block:
        return Block(np.asarray(self.scaler.transform(np.asarray(items, dtype=np.float64)), dtype=np.float32))


def join(blocks: Sequence[Block]) -> Block:
    """Blocks side by side; an item that failed in one has failed."""
    if len(blocks) == 1:
        return blocks[0]
    failures: Failures = {}
    for block in blocks:
        failures.update(block.failures)
    return Block(np.concatenate([block.matrix for block in blocks], axis=1), failures)
