"""What went wrong with one strategy, in one line: it may be anybody's, and must not cost the others."""

from __future__ import annotations

import os
import traceback

from headstart.adapt.memory import is_out_of_memory
from headstart.errors import HeadstartError, one_line


def left_out(error: Exception) -> str:
    """What a plan or a note says of a strategy that raised `error`."""
    return f"left out: {reason_of(error)}"


def reason_of(error: Exception) -> str:
    """Why a strategy is left out after it raised `error`; its traceback is printed where HEADSTART_DEBUG is set."""
    if os.environ.get("HEADSTART_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, HeadstartError):
        return one_line(str(error))
    if is_out_of_memory(error):
        return "not enough memory"
    if isinstance(error, OSError):
        return one_line(error.strerror or str(error))
    return f"internal error: {one_line(f'{type(error).__name__}: {error}')} (please report)"
