"""Jobs beside one another: what comes back, who is told, and how they end."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest
from threadpoolctl import threadpool_info

from headstart.plan import parallel
from headstart.plan.parallel import each


@pytest.mark.parametrize("beside", [True, False])
def test_results_keep_their_order_and_each_is_told_where_each_was_called(beside):
    told, threads = [], set()

    def tell(jobs):
        told.append(jobs)
        threads.add(threading.current_thread())

    def square(k):
        assert threading.current_thread() is not threading.main_thread()
        return k * k

    assert each(square, range(7), tell, beside=beside) == [k * k for k in range(7)]
    assert sum(told) == 7
    assert threads == {threading.current_thread()}
    assert each(square, []) == []


def test_who_waits_long_is_told_of_nothing_finished(monkeypatch):
    monkeypatch.setattr(parallel, "_PATIENCE", 0.01)
    heard, told = threading.Event(), []

    def tell(jobs):
        told.append(jobs)
        heard.set()

    each(lambda _: heard.wait(20), [None], tell)
    assert told[0] == 0
    assert sum(told) == 1


def test_ctrl_c_leaves_what_runs_and_drops_what_waits(monkeypatch):
    monkeypatch.setattr(parallel, "_PATIENCE", 0.01)
    started, release, left, told = [], threading.Event(), [], []

    def work(k):
        started.append(k)
        left.append(threading.current_thread())
        release.wait(20)

    def tell(jobs):
        told.append(jobs)
        if started:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(work, range(3), tell, beside=False)
    assert not release.is_set()
    assert left[0].is_alive()
    release.set()
    left[0].join(20)
    assert started == [0]
    assert sum(told) == 0


def test_an_error_waits_for_what_runs(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    both, failed, finished = threading.Barrier(2, timeout=20), threading.Event(), []

    def work(k):
        both.wait()
        if k == 0:
            failed.set()
            raise ValueError("odd")
        failed.wait(20)
        finished.append(k)

    with pytest.raises(ValueError, match="odd"):
        each(work, range(2))
    assert finished == [1]


@pytest.mark.parametrize("most", [1, 2, None])
def test_no_more_run_at_a_time_than_memory_has_room_for(monkeypatch, most):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    lock, running, seen = threading.Lock(), set(), []

    def work(k):
        with lock:
            running.add(k)
            seen.append(len(running))
        time.sleep(0.02)
        with lock:
            running.remove(k)

    each(work, range(8), most=most)
    assert max(seen) == (most or 4)


def test_trees_that_cannot_be_imported_meanwhile_are_no_noise(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    parallel.import_learners_meanwhile()
    for thread in threading.enumerate():
        if thread.name == "imports":
            thread.join(20)
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        parallel.import_learners()


def test_only_jobs_beside_others_are_held_to_one_thread():
    def threads(_=None):
        return [pool["num_threads"] for pool in threadpool_info()]

    assert each(threads, [None], beside=False) == [threads()]
    assert set(each(threads, [None])[0]) == {1}
    assert set(each(lambda _: each(threads, [None], beside=False)[0], [None])[0]) == {1}
