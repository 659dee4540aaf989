"""What turns files into a graph's input and into descriptors: one protocol, one reader a modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.features.cache import Space
from headstart.features.encoder import Encoder
from headstart.sources.base import SourceInput


class Seen(NamedTuple):
    """What was asked for of one file.

    Attributes:
        values: prepared for the graph, in the reader's own form.
        look: what `Reader.describe` takes.
        size: bytes of the values.
    """

    values: Any = None
    look: Any = None
    size: int = 0


class Reader(Protocol):
    """How the files of one modality are read.

    Attributes:
        unit: many of them, for people.
        space: where their descriptors are cached; its width is theirs.
        alike: every item costs the graph the same, and several may be given to it side by side.
        too_large: what to do with a file that is too large.
    """

    unit: str
    space: Space
    alike: bool
    too_large: str

    def see(self, data: bytes, how: SourceInput | None, *, described: bool) -> Seen:
        """Decode a file once, for the graph (`how`; None for none) and for its description.

        Raises:
            ItemError: it cannot be read.
        """

    def rows(self, encoder: Encoder, values: Sequence[Any]) -> NDArray[np.float16]:
        """(n, D) what the graph says of n prepared items; one at a time unless they are alike."""

    def describe(self, looks: Sequence[Any]) -> NDArray[np.float16]:
        """(n, d) descriptors."""
