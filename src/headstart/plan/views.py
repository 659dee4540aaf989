"""Views: what a candidate sees of the items, as a matrix: layers of pretrained sources, or what needs no source.

A view is fitted on training rows only (a TF-IDF vocabulary, medians of a table), then gives the matrix of any rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.features.blocks import Features
from headstart.sources.base import Source, Tap

Rows = NDArray[np.int64]
NO_SOURCE = "none"


@dataclass(frozen=True)
class ViewState:
    """A fitted view as inert data, for the artefact.

    Attributes:
        kind: "source", "hog", "logmel", "tfidf" or "rows".
        settings: to JSON.
        arrays: to safetensors.
        source: the source to pack beside it, for kind "source".
        taps: the taps of the source that are used, in column order.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    source: Source | None = None
    taps: tuple[Tap, ...] = ()


class FittedView(Protocol):
    """A view after seeing its training rows."""

    def matrix(self, rows: Rows) -> Any:
        """(len(rows), d) floats, or CSR for sparse views."""

    def states(self) -> tuple[ViewState, ...]:
        """One state a part, in column order."""


class View(Protocol):
    """What a candidate sees.

    Attributes:
        source: the name of the source or sources, NO_SOURCE for what knows nothing beforehand.
        detail: which of it: the layer set, or the kind of descriptor.
        cost: relative cost of computing it for a new item: millions of parameters applied.
        width: columns, for estimates of time.
        blocks: the widths of its parts, in column order: a tap of a source each.
    """

    @property
    def source(self) -> str: ...

    @property
    def detail(self) -> str: ...

    @property
    def cost(self) -> float: ...

    @property
    def width(self) -> int: ...

    @property
    def blocks(self) -> tuple[int, ...]: ...

    def fit(self, rows: Rows) -> FittedView: ...


@dataclass(frozen=True, eq=False)
class SourceView:
    """Some layers of one frozen source. Nothing to fit: it is its own fitted form."""

    features: Features
    origin: Source
    taps: tuple[Tap, ...]
    detail: str

    @property
    def source(self) -> str:
        return self.origin.name

    @property
    def cost(self) -> float:
        return self.origin.parameters / 1e6

    @property
    def width(self) -> int:
        return sum(tap.width for tap in self.taps)

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(tap.width for tap in self.taps)

    def fit(self, rows: Rows) -> SourceView:
        return self

    def matrix(self, rows: Rows) -> NDArray[np.float16]:
        return self.features.select(self.taps, rows)

    def states(self) -> tuple[ViewState, ...]:
        return (ViewState("source", source=self.origin, taps=self.taps),)


@dataclass(frozen=True, eq=False)
class FusedView:
    """Several source views side by side."""

    parts: tuple[SourceView, ...]
    detail: str = "fused"

    @property
    def source(self) -> str:
        return "+".join(part.source for part in self.parts)

    @property
    def cost(self) -> float:
        return sum(part.cost for part in self.parts)

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts)

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(width for part in self.parts for width in part.blocks)

    def fit(self, rows: Rows) -> FusedView:
        return self

    def matrix(self, rows: Rows) -> NDArray[np.float16]:
        return np.concatenate([part.matrix(rows) for part in self.parts], axis=1)

    def states(self) -> tuple[ViewState, ...]:
        return tuple(state for part in self.parts for state in part.states())


@dataclass(frozen=True, eq=False)
class _DescribedView:
    """Descriptors of files, computed with the sources' rows. Nothing to fit: it is its own fitted form.

    Attributes:
        described: (n, d) float16.
        detail: its kind in the artefact, too.
    """

    described: NDArray[np.float16]
    source: str = NO_SOURCE
    detail: str = ""
    cost: float = 0.01

    @property
    def width(self) -> int:
        return int(self.described.shape[1])

    @property
    def blocks(self) -> tuple[int, ...]:
        return (self.width,)

    def fit(self, rows: Rows) -> FittedView:
        return self

    def matrix(self, rows: Rows) -> NDArray[np.float16]:
        return self.described[rows]

    def states(self) -> tuple[ViewState, ...]:
        return (ViewState(self.detail),)


@dataclass(frozen=True, eq=False)
class HogView(_DescribedView):
    """Gradient histograms and colour statistics: images without pretrained knowledge."""

    detail: str = "hog"


@dataclass(frozen=True, eq=False)
class LogmelView(_DescribedView):
    """Statistics of log-mel bands, cepstra and simple descriptors: sounds without pretrained knowledge."""

    detail: str = "logmel"


@dataclass(frozen=True, eq=False)
class TfidfView:
    """Word and character n-grams: texts without pretrained knowledge. The vocabulary is of the training rows only."""

    texts: Sequence[str]
    source: str = NO_SOURCE
    detail: str = "tfidf"
    cost: float = 0.01
    width: int = 20_000

    @property
    def blocks(self) -> tuple[int, ...]:
        return (self.width,)

    def fit(self, rows: Rows) -> FittedTfidf:
        from headstart.features.tfidf import Vocabulary

        return FittedTfidf(self.texts, Vocabulary.fit([self.texts[i] for i in rows]))


@dataclass(frozen=True, eq=False)
class FittedTfidf:
    """A vocabulary, and the texts it is applied to."""

    texts: Sequence[str]
    vocabulary: Any

    def matrix(self, rows: Rows) -> Any:
        return self.vocabulary.transform([self.texts[i] for i in rows])

    def states(self) -> tuple[ViewState, ...]:
        arrays, settings = self.vocabulary.state()
        return (ViewState("tfidf", settings, arrays),)


@dataclass(frozen=True, eq=False)
class RowsView:
    """The columns of a table themselves: medians for what is missing, standardised on the training rows."""

    table: NDArray[np.float64]
    columns: tuple[str, ...]
    source: str = NO_SOURCE
    detail: str = "columns"
    cost: float = 0.01

    @property
    def width(self) -> int:
        return int(self.table.shape[1])

    @property
    def blocks(self) -> tuple[int, ...]:
        return (self.width,)

    def fit(self, rows: Rows) -> FittedRows:
        from headstart.features.rows import RowScaler

        return FittedRows(self.table, self.columns, RowScaler.fit(self.table[rows]))


@dataclass(frozen=True, eq=False)
class FittedRows:
    """A table with its training medians and scales."""

    table: NDArray[np.float64]
    columns: tuple[str, ...]
    scaler: Any

    def matrix(self, rows: Rows) -> NDArray[np.float32]:
        return np.asarray(self.scaler.transform(self.table[rows]), dtype=np.float32)

    def states(self) -> tuple[ViewState, ...]:
        arrays, settings = self.scaler.state()
        return (ViewState("rows", {**settings, "columns": list(self.columns)}, arrays),)


def layer_sets(taps: Sequence[Tap]) -> dict[str, tuple[Tap, ...]]:
    """The layer sets worth comparing, by name.

    "last": the mean pooling of the deepest layer, the usual linear probe; "late": every pooling of the deeper half of
    the depths; "all": everything. Sets that coincide are given once.
    """
    depths = sorted({tap.depth for tap in taps})
    late = set(depths[len(depths) // 2 :])
    deepest = [tap for tap in taps if tap.depth == depths[-1]]
    sets = {
        "last": tuple([tap for tap in deepest if tap.pooling == "mean"] or deepest),
        "late": tuple(tap for tap in taps if tap.depth in late),
        "all": tuple(taps),
    }
    unique: dict[str, tuple[Tap, ...]] = {}
    for name, chosen in sets.items():
        if chosen not in unique.values():
            unique[name] = chosen
    return unique
