"""The fastest engine of this machine that keeps a source's features true: measured once, remembered, opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headstart import registry
from headstart.engines.base import Engine, Precision, Session
from headstart.engines.measure import GROUP, REFERENCE, Measured, measure
from headstart.engines.memory import Choice, forget, recall, remember
from headstart.engines.processor import processor
from headstart.engines.quantise import quantised
from headstart.errors import EngineError, HeadstartError
from headstart.progress import SILENT, Progress
from headstart.sources.base import Source

__all__ = [
    "Choice",
    "EngineGoneError",
    "Measured",
    "adopt",
    "choose",
    "fastest",
    "forget_if_far_off",
    "measure",
    "open_graph",
    "open_like",
    "open_session",
]

WORTH = 1.1
"""How many times faster than the best fp32 engine a lower precision must be to be chosen."""
FAR_OFF = 2.0
"""How many times faster than it was measured an engine must run to be measured again."""
FEWEST_SEEN = 100
"""Items that show an engine's speed."""


def choose(source: Source, *, progress: Progress = SILENT) -> Choice:
    """The remembered choice for `source` on this machine; measured and remembered if there is none.

    Raises:
        EngineError: no engine runs the source's graph.
    """
    if (known := recall(source)) is not None:
        return known
    choice = fastest(measure(source, progress=progress))
    _keep(source, choice, progress)
    return choice


def adopt(source: Source, measured: Sequence[Measured], *, progress: Progress = SILENT) -> Choice:
    """Have every later run of `source` use the fastest engine of `measured`; that it replaces another is said.

    Raises:
        EngineError: none was accepted. What was remembered stays.
    """
    before, choice = recall(source), fastest(measured)
    _keep(source, choice, progress)
    if before is not None and (before.engine, before.precision) != (choice.engine, choice.precision):
        progress.say(
            f"{source.name}: {choice.engine} {choice.precision} is used from now on, "
            f"no longer {before.engine} {before.precision}, which was remembered"
        )
    return choice


def _keep(source: Source, choice: Choice, progress: Progress) -> None:
    try:
        remember(source, choice)
    except OSError as error:
        progress.say(
            f"the engine choice for {source.name} could not be kept ({error.strerror}): measured again next time"
        )


def fastest(measured: Sequence[Measured]) -> Choice:
    """The fastest accepted engine; a lower precision only where it is WORTH it.

    Raises:
        EngineError: none was accepted.
    """
    accepted = [one for one in measured if one.accepted]
    if not accepted:
        raise EngineError("no engine of this machine runs the source truly: headstart engines --bench says why")

    def score(one: Measured) -> float:
        return one.items_per_second * (WORTH if one.precision == "fp32" else 1.0)

    best = max(accepted, key=score)
    return Choice(best.engine, best.precision, best.threads, best.workers, best.items_per_second)


def forget_if_far_off(source: Source, choice: Choice, items: int, seconds: float) -> bool:
    """Forget a remembered choice whose engine is now seen to run FAR_OFF times as fast as it was measured.

    The machine was busy then, so the comparison with the others may be wrong too: the next run measures anew. A slower
    engine says nothing: the machine may be busy now.

    Args:
        items: how many were run.
        seconds: that the calls took, summed over the workers.
    """
    enough = items >= FEWEST_SEEN and choice.items_per_second > 0
    if not enough or items * choice.workers < FAR_OFF * choice.items_per_second * seconds or recall(source) != choice:
        return False
    with suppress(OSError):
        forget(source)
        return True
    return False


class EngineGoneError(EngineError):
    """The chosen engine does not load the source. Attribute `instead`: what to use, under its own name."""

    def __init__(self, message: str, instead: Choice) -> None:
        super().__init__(message)
        self.instead = instead


def open_session(source: Source, choice: Choice, outputs: Sequence[str], *, progress: Progress = SILENT) -> Session:
    """Open `source` as chosen, and in no other way: what is computed is kept under the name of what computed it.

    Raises:
        EngineGoneError: the chosen engine does not load it; ONNX Runtime in fp32 is the way out.
        EngineError: that was ONNX Runtime in fp32, or an output is unknown.
    """
    try:
        graph = source.graph
        if choice.precision == "int8":
            graph = quantised(source, progress=progress)
        return open_graph(graph, outputs, engine=choice.engine, precision=choice.precision, threads=choice.threads)
    except HeadstartError as error:
        if (choice.engine, choice.precision) == (REFERENCE, "fp32"):
            raise
        message = f"{choice.engine} {choice.precision} failed for {source.name}, {REFERENCE} fp32 is used: {error}"
        raise EngineGoneError(message, Choice(REFERENCE, "fp32", 1, processor().workers, 0.0)) from error


def open_graph(
    graph: Path, outputs: Sequence[str], *, engine: str | None = None, precision: Precision = "fp32", threads: int = 1
) -> Session:
    """Open a graph file; on ONNX Runtime where no engine is named.

    Args:
        graph: an ONNX file; for int8 a quantised one.
        outputs: which of its outputs `run` returns, in this order.
        engine: a registered name.
        precision: what the engine computes in.
        threads: of the engine, in each call.

    Raises:
        EngineError: the engine cannot run here, or cannot run this graph.
        OptionError: no such engine.
    """
    name = engine or REFERENCE
    chosen: Engine = registry.get(GROUP, name)
    if reason := chosen.unavailable():
        raise EngineError(f"{name} cannot run here: {reason}")
    return chosen.open(graph, outputs, precision, threads)


def open_like(
    graphs: Mapping[Precision, Path], outputs: Sequence[str], *, engine: str, precision: Precision
) -> Session:
    """Open a graph as it ran elsewhere, where this machine can; else in fp32 on ONNX Runtime, to which it was true.

    Args:
        graphs: the graph for "fp32", and its quantised form for "int8" where there is one.
        engine: the engine that ran it; a plug-in that is not installed here is no mistake.
        precision: what it computed in.

    Raises:
        EngineError: ONNX Runtime cannot run the graph.
    """
    if precision != "fp32" and engine in registry.names(GROUP):
        able: Engine = registry.get(GROUP, engine)
        if able.device == "cpu" and able.unavailable() is None and precision in able.precisions():
            graph = graphs.get(precision, graphs["fp32"])
            return open_graph(graph, outputs, engine=engine, precision=precision)
    return open_graph(graphs["fp32"], outputs)
