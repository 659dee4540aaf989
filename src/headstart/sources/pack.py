"""A source cut down to what a model needs: the graph of some of its taps, as bytes for an artefact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx

from headstart.errors import SourceError
from headstart.sources.base import Source, Tap
from headstart.sources.graph import strip, tap_info

_SMALL = 1024  # bytes: axes, a scale; a layer has more


def pack(source: Source, taps: Sequence[Tap], graph: Path | None = None) -> bytes:
    """The ONNX graph that computes `taps`, in that order, and nothing else: layers above the deepest are dropped.

    Equal arguments give equal bytes.

    Args:
        graph: another form of the source's graph with the same outputs (quantised); by default its own.

    Raises:
        SourceError: no taps, a repeated one, or one that the source does not have.
    """
    check_taps(source, taps)
    model = onnx.load_model(graph or source.graph)
    cut(model, taps)
    packed: bytes = model.SerializeToString(deterministic=True)
    return packed


def check_taps(source: Source, taps: Sequence[Tap]) -> None:
    """Nothing where `taps` are some of the source's, each once.

    Raises:
        SourceError: no taps, a repeated one, or one that the source does not have.
    """
    strangers = [tap.name for tap in taps if tap not in source.taps]
    if not taps or strangers or len(set(taps)) < len(taps):
        wrong = ", ".join(strangers) or "none or repeated ones"
        raise SourceError(f"cannot pack {source.name} with taps {wrong}; it has {_names(source.taps)}")


def cut(model: onnx.ModelProto, taps: Sequence[Tap]) -> None:
    """Leave of a model, in place, what computes `taps`, its outputs, in that order."""
    whole = model.graph
    nodes, needed = _ancestors(whole, taps)
    initialisers = [tensor for tensor in whole.initializer if tensor.name in needed]
    pruned = onnx.helper.make_graph(nodes, whole.name, list(whole.input), [tap_info(tap) for tap in taps], initialisers)
    whole.CopyFrom(pruned)
    strip(model)


def on_the_way(source: Source, taps: Sequence[Tap]) -> tuple[Tap, ...]:
    """Every tap of `source` that costs next to nothing beside `taps`, those included, in the source's order.

    They are no deeper, and need no weights that `taps` do not need: the trunk passes through them.
    """
    graph = onnx.load_model(source.graph).graph
    deepest = max(tap.depth for tap in taps)
    size = {tensor.name: tensor.ByteSize() for tensor in graph.initializer}
    _, needed = _ancestors(graph, taps)

    def cheap(tap: Tap) -> bool:
        _, more = _ancestors(graph, [tap])
        return tap.depth <= deepest and sum(size.get(name, 0) for name in more - needed) <= _SMALL

    return tuple(tap for tap in source.taps if tap in taps or cheap(tap))


def _ancestors(graph: onnx.GraphProto, taps: Iterable[Tap]) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that compute `taps`, in order of execution, and the names of all values on the way."""
    needed = {tap.name for tap in taps}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):  # nodes are sorted by execution: one pass backwards finds every ancestor
        if needed.intersection(node.output):
            nodes.append(node)
            needed |= _reads(node)
    nodes.reverse()
    return nodes, needed


def _reads(node: onnx.NodeProto) -> set[str]:
    """The values a node reads, those inside its branches and loop bodies included."""
    names = set(node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                names |= _reads(inner)
            names |= {output.name for output in body.output}
    return names


def _names(taps: Iterable[Tap]) -> str:
    return ", ".join(tap.name for tap in taps)
