"""Fits side by side, one thread each: two single-threaded fits outrun one on two threads, and bear a busy machine.

A two-thread `eigh` was measured 12 times slower when another process held the other core; boosted trees likewise.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

# Seconds after which who waits is told that nothing is finished yet.
_PATIENCE = 5.0
_this_thread = threading.local()


def each(
    work: Callable[[_T], _R],
    jobs: Iterable[_T],
    told: Callable[[int], None] | None = None,
    *,
    beside: bool = True,
    most: int | None = None,
) -> list[_R]:
    """`work` of every job, in their order, on worker threads: the calling one is free to hear Ctrl-C.

    A job is drawn from `jobs`, by the calling thread, when a worker is free for it. An error waits for the jobs that
    run. What is no Exception (Ctrl-C, SIGTERM) does not: they are left to themselves, and nobody is told of them.

    Args:
        told: called here with the number of jobs that were finished since; with 0 when that takes long.
        beside: as many jobs at a time as there are cores, on one thread each; else one at a time, on all cores, or on
            what a job that itself runs beside others may use.
        most: of jobs at a time, where memory bounds them before cores do.
    """
    from threadpoolctl import threadpool_limits

    coming, workers = iter(jobs), min(side_by_side(), most or side_by_side()) if beside else 1
    futures: list[Future[_R]] = []
    # BLAS is limited for the whole process, OpenMP for each thread that asks.
    with threadpool_limits(1, user_api="blas") if beside else nullcontext():
        pool = ThreadPoolExecutor(workers, initializer=_one_thread if beside or _is_beside() else None)
        try:
            pending: set[Future[_R]] = set()
            while True:
                for job in islice(coming, workers - len(pending)):
                    futures.append(pool.submit(work, job))
                    pending.add(futures[-1])
                if not pending:
                    break
                done, pending = wait(pending, _PATIENCE, FIRST_COMPLETED)
                for future in done:
                    future.result()
                if told is not None:
                    told(len(done))
        except BaseException as error:
            pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
            raise
        pool.shutdown()
        return [future.result() for future in futures]


def side_by_side() -> int:
    """How many jobs `each` runs at a time."""
    return max(1, os.cpu_count() or 1)


def import_learners() -> None:
    """Import what the folds of the baselines will, here: from worker threads it was measured to take 8 s, not 2."""
    import sklearn.ensemble  # noqa: F401


def import_learners_meanwhile() -> None:
    """`import_learners` on a thread of its own, 1.2 s, while files are decoded and sources run: that is not Python."""

    def work() -> None:
        with suppress(Exception):  # who needs them imports them again, and hears of it
            import_learners()

    threading.Thread(target=work, name="imports", daemon=True).start()


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="openmp")
    _this_thread.is_beside = True


def _is_beside() -> bool:
    return getattr(_this_thread, "is_beside", False)
