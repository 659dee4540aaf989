"""Pillow's warnings about damaged metadata, kept from the user while a file is decoded.

Pillow warns through Python's one, process-wide list of filters, and `warnings.catch_warnings` in two threads at once
can restore that list in the wrong order. Here the first thread in adds the filter, the last one out takes it away, and
only warnings that Pillow itself raises are affected. JPEG, by far the most common format, never comes here.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_saved = warnings.catch_warnings()


@contextmanager
def hushed() -> Iterator[None]:
    """Within it, Pillow's own warnings are not shown, whatever the filters say. May be entered by many threads."""
    global _inside, _saved
    with _lock:
        if _inside == 0:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _saved.__exit__(None, None, None)
