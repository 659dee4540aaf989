"""From items to the matrix a head was fitted on, by what the artefact itself carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.sources.base import SourceInput, Tap

Failures = dict[int, str]


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

    def apply(self, items: Sequence[Any]) -> Block: ...


@dataclass(eq=False)
class SourceFeaturiser:
    """A frozen graph and how to prepare its input. The graph is opened at first use."""

    graph: Path
    tokenizer: Path | None
    input: SourceInput
    taps: tuple[Tap, ...]
    precision: str

    @cached_property
    def _embedder(self) -> Any:
        from headstart.features.embed import Embedder

        return Embedder.open(self.graph, self.input, self.taps, tokenizer=self.tokenizer, precision=self.precision)

    def apply(self, items: Sequence[Any]) -> Block:
        matrix, failures = self._embedder.embed(items)
        return Block(matrix.astype(np.float32), failures)


@dataclass(frozen=True)
class HogFeaturiser:
    """Gradient histograms and colour statistics."""

    def apply(self, items: Sequence[Path]) -> Block:
        from headstart.features.hog import describe
        from headstart.features.thumbnails import thumbnails

        small, failures = thumbnails(items)
        return Block(describe(small), failures)


@dataclass(frozen=True)
class TfidfFeaturiser:
    """A fitted vocabulary."""

    vocabulary: Any

    def apply(self, items: Sequence[str]) -> Block:
        return Block(self.vocabulary.transform(list(items)))


@dataclass(frozen=True)
class RowsFeaturiser:
    """Fitted medians and scales of a table."""

    scaler: Any

    def apply(self, items: NDArray[np.float64]) -> Block:
        return Block(np.asarray(self.scaler.transform(np.asarray(items, dtype=np.float64)), dtype=np.float32))


def join(blocks: Sequence[Block]) -> Block:
    """Blocks side by side; an item that failed in one has failed."""
    if len(blocks) == 1:
        return blocks[0]
    failures: Failures = {}
    for block in blocks:
        failures.update(block.failures)
    return Block(np.concatenate([block.matrix for block in blocks], axis=1), failures)
