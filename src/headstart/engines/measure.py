"""Time every engine on the probe, as the feature pipeline will use it, and check that its features are true."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headstart import registry
from headstart.engines.base import Engine, Feeds, Precision, Session
from headstart.engines.fidelity import Fidelity, fidelity
from headstart.engines.probe import Probe, probe
from headstart.engines.processor import processor
from headstart.engines.quantise import quantised
from headstart.errors import EngineError, HeadstartError
from headstart.progress import SILENT, Progress
from headstart.sources.base import Source

GROUP = "headstart.engines"
REFERENCE = "onnxruntime"  # its fp32 features count as true
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")

COSINE_MEAN = 0.99
"""The least mean cosine to the reference, over the probe's standardised rows, at which features count as true."""
ACCURACY_LOSS = 0.003
"""The most accuracy a head on the probe may lose; one item of the probe where that is coarser."""
SECONDS = 0.5
"""How long a candidate is timed, at least; one pass over the probe at least."""
LONGEST_PASS = 1.5
"""Seconds of processor time that one pass of the reference may take: for a slow source the probe is cut to what fits.

FEWEST items at least. Not of the clock: on a busy machine the check of the features would become a coarse one.
"""
FEWEST = 32
"""Items of the probe that are always embedded."""
HOPELESS = 2.0
"""A candidate this many times slower on a first small batch than the best so far is not timed further."""
ROUNDS = 2
"""How often those that could win are timed again, in turn, after the first time: the best time of each counts.

Whatever else the machine does only ever slows an engine down, and rarely the same one each time.
"""
_WARM_UP_ITEMS, _ESTIMATES = 4, 3
_INSTANT = 1e-6  # seconds: what a coarse clock may call none
_GPU_SCALE = 64  # times the CPU's batch


@dataclass(frozen=True)
class Measured:
    """One engine at one precision, on the probe.

    Attributes:
        workers: threads that called the session side by side.
        threads: threads of the engine in each call.
        items_per_second: of all workers together; 0 where it did not run, an estimate where `reason` says stopped.
        cosine_mean, cosine_min: of the items' standardised features to the reference's; NaN where not computed.
        probe_accuracy: leave-one-out accuracy of a ridge head on the probe; NaN where not computed.
        accepted: true features, and fully timed.
        reason: why it was not accepted, or the tolerance it passed.
    """

    engine: str
    precision: Precision
    workers: int
    threads: int
    items_per_second: float
    cosine_mean: float
    cosine_min: float
    probe_accuracy: float
    accepted: bool
    reason: str


def measure(source: Source, *, every: bool = False, progress: Progress = SILENT) -> list[Measured]:
    """Measure the engines of this machine on `source`, the reference first.

    Args:
        source: the exported source.
        every: also precisions that are not native here and engines that cannot run, each with its reason.
        progress: told of each candidate.

    Raises:
        EngineError: not even the reference runs the source's graph.
    """
    sample = probe(source)
    opened = _open(source, REFERENCE, "fp32", sample)
    sample = sample.head(max(FEWEST, int(LONGEST_PASS * _estimate(opened, time.thread_time))))
    opened = replace(opened, feeds=sample.feeds)
    truth = _embed(opened)
    reference = _Truth(truth.taps, fidelity(truth.taps, truth.taps, sample.labels), sample.labels)
    found = [_judged(truth, REFERENCE, "fp32", reference)]
    running: list[_Opened | None] = [opened]
    candidates = [pair for pair in _candidates(every) if pair != (REFERENCE, "fp32")]
    with progress.bar("engines", source.name, len(candidates) + 1, "engines") as bar:
        bar.advance()
        for name, precision in candidates:
            best = max(one.items_per_second for one in found if one.accepted)
            row, session = _attempt(source, name, precision, sample, reference, best=best, progress=progress)
            found.append(row)
            running.append(session)
            bar.advance()
    return _timed_again(found, running)


def _candidates(every: bool) -> list[tuple[str, Precision]]:
    pairs: list[tuple[str, Precision]] = []
    for name in registry.names(GROUP):
        engine: Engine = registry.get(GROUP, name)
        if every:
            pairs += [(name, precision) for precision in PRECISIONS]
        elif engine.unavailable() is None:
            pairs += [(name, precision) for precision in engine.precisions()]
    return pairs


@dataclass(frozen=True, eq=False)
class _Truth:
    taps: list[NDArray[np.float32]]
    fidelity: Fidelity
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Opened:
    session: Session
    workers: int
    feeds: Sequence[Feeds]


@dataclass(frozen=True, eq=False)
class _Run:
    """A candidate's features of the probe and its speed; no taps where it was stopped as hopeless."""

    taps: list[NDArray[np.float32]]
    items_per_second: float
    workers: int


def _attempt(
    source: Source, name: str, precision: Precision, sample: Probe, truth: _Truth, *, best: float, progress: Progress
) -> tuple[Measured, _Opened | None]:
    """Time and judge one candidate; its failure is a line of the table, not the end. With its session if it ran."""
    engine: Engine = registry.get(GROUP, name)
    try:
        if reason := engine.unavailable():
            raise EngineError(reason)
        if precision == "int8":
            quantised(source, progress=progress)  # said, and not timed
        if engine.device == "cuda":
            sample = probe(source, scale=_GPU_SCALE).head(len(sample))  # the same items in the same order
        opened = _open(source, name, precision, sample)
        estimate = _estimate(opened)
        stopped = estimate * HOPELESS < best
        run = _Run([], estimate, opened.workers) if stopped else _embed(opened)
        return _judged(run, name, precision, truth), opened
    except HeadstartError as error:
        nan = float("nan")
        return Measured(name, precision, 0, 1, 0.0, nan, nan, nan, accepted=False, reason=str(error)), None


def _timed_again(found: Sequence[Measured], running: Sequence[_Opened | None]) -> list[Measured]:
    """The rows with the best of several times, for those that could win; `running` are their sessions, row by row."""
    best = max(row.items_per_second for row in found if row.accepted)
    speeds = [row.items_per_second for row in found]
    for _ in range(ROUNDS):
        for k, (row, opened) in enumerate(zip(found, running, strict=True)):
            if opened is not None and row.accepted and HOPELESS * row.items_per_second >= best:
                speeds[k] = max(speeds[k], _embed(opened, whole=False).items_per_second)
    return [replace(row, items_per_second=speed) for row, speed in zip(found, speeds, strict=True)]


def _open(source: Source, name: str, precision: Precision, sample: Probe) -> _Opened:
    engine: Engine = registry.get(GROUP, name)
    graph = quantised(source) if precision == "int8" else source.graph
    session = engine.open(graph, [tap.name for tap in source.taps], precision, 1)
    return _Opened(session, processor().workers if engine.device == "cpu" else 1, sample.feeds)


def _estimate(opened: _Opened, clock: Callable[[], float] = time.perf_counter) -> float:
    """Items a second of all workers, from the fastest of a few runs on a few items, after one that warms up.

    Args:
        clock: seconds; of one thread only for an engine that computes in the thread that calls it.
    """
    few = {key: values[:_WARM_UP_ITEMS] for key, values in opened.feeds[0].items()}
    opened.session.run(few)
    seconds = []
    for _ in range(_ESTIMATES):
        started = clock()
        opened.session.run(few)
        seconds.append(clock() - started)
    return opened.workers * _count(few) / max(min(seconds), _INSTANT)


def _embed(opened: _Opened, *, whole: bool = True) -> _Run:
    """Items a second of workers that take batches in turn, again and again; and the taps of all, if `whole`."""
    feeds = opened.feeds
    least = len(feeds) if whole else opened.workers
    first_pass: list[list[NDArray[np.float32]]] = [[] for _ in feeds]
    turns = itertools.count()  # next() on it is atomic
    started = time.perf_counter()

    def work() -> int:
        done = 0
        while (turn := next(turns)) < least or time.perf_counter() - started < SECONDS:
            outputs = opened.session.run(feeds[turn % len(feeds)])
            done += _count(feeds[turn % len(feeds)])
            if whole and turn < len(feeds):
                first_pass[turn] = outputs
        return done

    with ThreadPoolExecutor(opened.workers) as pool:
        items = sum(future.result() for future in [pool.submit(work) for _ in range(opened.workers)])
    speed = items / (time.perf_counter() - started)
    taps = [np.concatenate(tap) for tap in zip(*first_pass, strict=True)] if whole else []
    return _Run(taps, speed, opened.workers)


def _count(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def _judged(run: _Run, name: str, precision: Precision, truth: _Truth) -> Measured:
    """Accept a run whose features are true within the tolerances."""
    if not run.taps:
        reason = f"stopped: more than {HOPELESS:g} times slower than the best on a first small batch"
        nan = float("nan")
        speed = run.items_per_second
        return Measured(name, precision, run.workers, 1, speed, nan, nan, nan, accepted=False, reason=reason)
    near = fidelity(run.taps, truth.taps, truth.labels)
    n = len(truth.labels)
    allowed = max(ACCURACY_LOSS, 1.0 / n)
    loss = truth.fidelity.accuracy - near.accuracy
    if not near.cosine_mean >= COSINE_MEAN:  # also true of NaN
        reason = f"not true: mean cosine {near.cosine_mean:.4f} to fp32, at least {COSINE_MEAN} wanted"
    elif loss > allowed + 1e-9:
        reason = f"not true: a head loses {100 * loss:.1f} points on the probe, at most {100 * allowed:.1f} allowed"
    else:
        limit = f"{100 * allowed:.1f} points" + (f", one item of {n}" if 1.0 / n > ACCURACY_LOSS else "")
        reason = f"true: mean cosine at least {COSINE_MEAN}, a head's loss at most {limit}"
    return Measured(
        name, precision, run.workers, 1, run.items_per_second, near.cosine_mean, near.cosine_min, near.accuracy,
        accepted=reason.startswith("true"), reason=reason,
    )  # fmt: skip
