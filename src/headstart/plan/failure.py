"""What went wrong with one strategy, in one line: it may be anybody's, and must not cost the others."""

from __future__ import annotations

from headstart.adapt.memory import is_out_of_memory
from headstart.errors import HeadstartError


def reason_of(error: Exception) -> str:
    """Why a strategy is left out after it raised `error`."""
    if isinstance(error, HeadstartError):
        return _one_line(str(error))
    if is_out_of_memory(error):
        return "not enough memory"
    if isinstance(error, OSError):
        return _one_line(error.strerror or str(error))
    return f"internal error: {_one_line(f'{type(error).__name__}: {error}')} (please report)"


def _one_line(text: str) -> str:
    return " ".join(text.split())
