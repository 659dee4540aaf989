"""How a command ends that a signal stops: in order, and soon, whatever its threads are at."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143


class TerminatedError(BaseException):
    """SIGTERM came. Not an Exception, which work in progress may take for a failure of its own."""


@contextmanager
def orderly_end() -> Iterator[None]:
    """Let SIGTERM end the command as an exception does: what it holds, temporary folders above all, is let go of."""

    def end(*_: object) -> None:
        raise TerminatedError

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def leave(code: int) -> NoReturn:
    """End the process with a command's exit code.

    What is to be done at exit, such as removing temporary folders, is done. The rest of Python's end is left out. To
    take down the engines' libraries takes half a second; to wait for every thread may take minutes where a command was
    stopped in the middle of a factorisation: threads that still work then end with the process.
    """
    if code in (INTERRUPTED, TERMINATED) or not any(_works(thread) for thread in threading.enumerate()):
        atexit._run_exitfuncs()  # concurrent.futures joins its threads elsewhere
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _works(thread: threading.Thread) -> bool:
    return thread is not threading.main_thread() and not thread.daemon
