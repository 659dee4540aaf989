"""Progress of long work, told to whoever listens.

Layers below the faces take a `Progress` and never print. A face passes one that draws; the default is silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running count."""

    def advance(self, steps: int = 1, *, cached: bool = False) -> None:
        """Count steps. `cached`: they were done before and only looked up, and say nothing of how fast the work is."""


class Progress(Protocol):
    """What long work reports to."""

    def bar(self, label: str, detail: str, total: int | None, unit: str) -> AbstractContextManager[Bar]:
        """A context manager that yields a Bar: a label, a detail (a source's name), a total or None, a unit."""

    def say(self, line: str) -> None:
        """One line worth knowing now."""


class _SilentBar:
    def advance(self, steps: int = 1, *, cached: bool = False) -> None:
        pass


class Silent:
    """Progress that nobody watches."""

    @contextmanager
    def bar(self, label: str, detail: str, total: int | None, unit: str) -> Iterator[Bar]:
        yield _SilentBar()

    def say(self, line: str) -> None:
        pass


SILENT = Silent()
