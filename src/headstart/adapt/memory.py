"""Memory that runs short: how it is told from other failures, and what a training says of it. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from headstart.errors import EngineError


def is_out_of_memory(error: BaseException) -> bool:
    """True for what Python and torch raise, in their several ways, when memory is short."""
    short = isinstance(error, RuntimeError) and re.search(r"out of memory|alloc", str(error), re.IGNORECASE)
    return isinstance(error, MemoryError) or bool(short)


@contextmanager
def short_memory_told() -> Iterator[None]:
    """Inside, too little memory is an EngineError that says what to do, wherever it was that it was short."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise too_little_memory() from error


def too_little_memory(how: str = "") -> EngineError:
    """The error of a training that does not fit, " with one item at a time" for instance."""
    return EngineError(f"out of memory{how}: choose a strategy that trains less, or a smaller source")
