"""Fits side by side, one thread each: two single-threaded fits outrun one on two threads, and bear a busy machine.

A two-thread `eigh` was measured 12 times slower when another process held the other core; boosted trees likewise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def each(work: Callable[[_T], _R], jobs: Iterable[_T]) -> list[_R]:
    """`work` of every job, in their order, as many at a time as there are cores, on one thread each."""
    from threadpoolctl import threadpool_limits

    jobs = list(jobs)
    workers = max(1, min(os.cpu_count() or 1, len(jobs)))
    # BLAS is limited for the whole process, OpenMP for each thread that asks.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers, initializer=_one_thread) as pool:
        try:
            return list(pool.map(work, jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def import_learners() -> None:
    """Import what the folds of the baselines will, here: from worker threads it was measured to take 8 s, not 2."""
    import sklearn.ensemble  # noqa: F401


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="openmp")
