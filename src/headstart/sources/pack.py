"""A source cut down to what a model needs: the graph of some of its taps, as bytes for an artefact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx

from headstart.errors import SourceError
from headstart.sources.base import Source, Tap
from headstart.sources.graph import strip, tap_info


def pack(source: Source, taps: Sequence[Tap], graph: Path | None = None) -> bytes:
    """The ONNX graph that computes `taps`, in that order, and nothing else: layers above the deepest are dropped.

    Equal arguments give equal bytes.

    Args:
        graph: another form of the source's graph with the same outputs (quantised); by default its own.

    Raises:
        SourceError: no taps, a repeated one, or one that the source does not have.
    """
    strangers = [tap.name for tap in taps if tap not in source.taps]
    if not taps or strangers or len(set(taps)) < len(taps):
        wrong = ", ".join(strangers) or "none or repeated ones"
        raise SourceError(f"cannot pack {source.name} with taps {wrong}; it has {_names(source.taps)}")
    model = onnx.load_model(graph or source.graph)
    whole = model.graph
    needed = {tap.name for tap in taps}
    kept: list[onnx.NodeProto] = []
    for node in reversed(whole.node):  # nodes are sorted by execution: one pass backwards finds every ancestor
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _reads(node)
    kept.reverse()
    initialisers = [tensor for tensor in whole.initializer if tensor.name in needed]
    pruned = onnx.helper.make_graph(kept, whole.name, list(whole.input), [tap_info(tap) for tap in taps], initialisers)
    whole.CopyFrom(pruned)
    strip(model)
    packed: bytes = model.SerializeToString(deterministic=True)
    return packed


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
