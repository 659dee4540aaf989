"""Jobs on a pool of threads: a bounded number at a time, results in order, and a prompt end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def windowed(jobs: Iterable[Callable[[], _T]], workers: int) -> Generator[_T, None, None]:
    """Each job's result, in the order of the jobs, which are drawn as they are needed: never more than a few ahead.

    On Ctrl-C what has not begun is dropped, what is finished is still given, then KeyboardInterrupt goes on. A job's
    error is raised here, and ends the others in the same way.
    """
    window: deque[Future[_T]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="headstart")
    try:
        for job in jobs:
            window.append(pool.submit(job))
            if len(window) > 2 * workers:
                yield window[0].result()
                window.popleft()
        while window:
            yield window[0].result()
            window.popleft()
    except KeyboardInterrupt:
        pool.shutdown(wait=True, cancel_futures=True)
        for future in window:
            if not future.cancelled() and future.exception() is None:
                yield future.result()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
