"""Time every engine on the probe, as the feature pipeline will use it, and check that its features are true."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
"""Seconds that one pass of the reference may take: for a slow source the probe is cut to what fits, FEWEST at least."""
FEWEST = 32
"""Items of the probe that are always embedded."""
HOPELESS = 2.0
"""A candidate this many times slower on a first small batch than the best so far is not timed further."""
_WARM_UP_ITEMS = 4
_GPU_SCALE = 16  # times the CPU's batch


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
    opened = _open(source, REFERENCE, "fp32")
    sample = probe(source)
    sample = sample.head(max(FEWEST, int(LONGEST_PASS * _estimate(opened, sample))))
    truth = _embed(opened, sample.feeds)
    reference = _Truth(truth.taps, fidelity(truth.taps, truth.taps, sample.labels), sample.labels)
    found = [_judged(truth, REFERENCE, "fp32", reference)]
    candidates = [pair for pair in _candidates(every) if pair != (REFERENCE, "fp32")]
    with progress.bar("engines", source.name, len(candidates) + 1, "engines") as bar:
        bar.advance()
        for name, precision in candidates:
            best = max(one.items_per_second for one in found if one.accepted)
            found.append(_attempt(source, name, precision, sample, reference, best=best, progress=progress))
            bar.advance()
    return found


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


@dataclass(frozen=True, eq=False)
class _Run:
    """A candidate's features of the probe and its speed; no taps where it was stopped as hopeless."""

    taps: list[NDArray[np.float32]]
    items_per_second: float
    workers: int


def _attempt(
    source: Source, name: str, precision: Precision, sample: Probe, truth: _Truth, *, best: float, progress: Progress
) -> Measured:
    """Time and judge one candidate; its failure is a line of the table, not the end."""
    engine: Engine = registry.get(GROUP, name)
    try:
        if reason := engine.unavailable():
            raise EngineError(reason)
        if precision == "int8":
            quantised(source, progress=progress)  # said, and not timed
        if engine.device == "cuda":
            sample = probe(source, scale=_GPU_SCALE).head(len(sample))  # the same items in the same order
        opened = _open(source, name, precision)
        estimate = _estimate(opened, sample)
        stopped = estimate * HOPELESS < best
        run = _Run([], estimate, opened.workers) if stopped else _embed(opened, sample.feeds)
        return _judged(run, name, precision, truth)
    except HeadstartError as error:
        nan = float("nan")
        return Measured(name, precision, 0, 1, 0.0, nan, nan, nan, accepted=False, reason=str(error))


def _open(source: Source, name: str, precision: Precision) -> _Opened:
    engine: Engine = registry.get(GROUP, name)
    graph = quantised(source) if precision == "int8" else source.graph
    session = engine.open(graph, [tap.name for tap in source.taps], precision, 1)
    return _Opened(session, processor().workers if engine.device == "cpu" else 1)


def _estimate(opened: _Opened, sample: Probe) -> float:
    """Items a second of all workers, from the second of two runs on a few items; the first one warms up."""
    few = {key: values[:_WARM_UP_ITEMS] for key, values in sample.feeds[0].items()}
    opened.session.run(few)
    started = time.perf_counter()
    opened.session.run(few)
    return opened.workers * _count(few) / (time.perf_counter() - started)


def _embed(opened: _Opened, feeds: Sequence[Feeds]) -> _Run:
    """The taps of all batches, and items a second of workers that take batches in turn, again and again."""
    first_pass: list[list[NDArray[np.float32]]] = [[] for _ in feeds]
    turns = itertools.count()  # next() on it is atomic
    started = time.perf_counter()

    def work() -> int:
        done = 0
        while (turn := next(turns)) < len(feeds) or time.perf_counter() - started < SECONDS:
            outputs = opened.session.run(feeds[turn % len(feeds)])
            done += _count(feeds[turn % len(feeds)])
            if turn < len(feeds):
                first_pass[turn] = outputs
        return done

    with ThreadPoolExecutor(opened.workers) as pool:
        items = sum(future.result() for future in [pool.submit(work) for _ in range(opened.workers)])
    speed = items / (time.perf_counter() - started)
    return _Run([np.concatenate(tap) for tap in zip(*first_pass, strict=True)], speed, opened.workers)


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
