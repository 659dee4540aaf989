"""What trains: the part of a graph above a cut, and a linear head on taps of any depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.adapt.base import Moved
from headstart.adapt.cuts import Cut
from headstart.adapt.device import full_precision
from headstart.adapt.fast_layers import hasten
from headstart.adapt.graph import GraphModule
from headstart.adapt.initial_head import InitialHead
from headstart.adapt.ragged import run
from headstart.sources.base import Source, Tap

Weights = dict[str, NDArray[np.float32]]


class Network(nn.Module):  # type: ignore[misc]
    """logits = head(standardised taps), float32.

    Attributes:
        body: the graph; its parameters keep the initializers' values in torch's shapes.
        head: linear, C outputs.
        center, scale: (d,) of the taps side by side.
    """

    def __init__(self, body: GraphModule, taps: Sequence[Tap], head: InitialHead) -> None:
        super().__init__()
        self.body = body
        self.head = nn.utils.skip_init(nn.Linear, *head.weight.shape[::-1])
        self.register_buffer("center", torch.from_numpy(head.center.copy()), persistent=False)
        self.register_buffer("scale", torch.from_numpy(head.scale.copy()), persistent=False)
        self._taps = tuple(taps)
        self.set_head(head.weight, head.bias)

    def set_head(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Copy weight (C, d) and bias (C,) into the head."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight, np.float32)))
            self.head.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias, np.float32)))

    def features(self, feeds: Mapping[str, Tensor]) -> Tensor:
        """(n, d) float32 the taps of n items; `feeds` has the body's inputs, and those taps that lie below its cut."""
        found = run(self.body, feeds, self._taps)
        names = [tap.name for tap in self._taps]
        return torch.cat([(found[n] if n in found else feeds[n]).float() for n in names], dim=1)

    def forward(self, feeds: Mapping[str, Tensor]) -> Tensor:
        """(n, C) float32 logits of the same `feeds`."""
        features = self.features(feeds)
        with full_precision(features.device.type):
            logits: Tensor = self.head((features - self.center) / self.scale)
        return logits


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training starts, and how to make what it starts from.

    Attributes:
        taps: what the head reads.
        cut: what lies below is frozen; None for nothing.
        head: the first head.
        fresh: a seed for random weights in place of the source's; None for the source's.
        adapt: changes the body before it trains (adds LoRA).
    """

    source: Source
    taps: tuple[Tap, ...]
    cut: Cut | None
    head: InitialHead
    fresh: int | None = None
    adapt: Callable[[GraphModule], None] | None = None

    def network(self) -> Network:
        """A network that trains."""
        body = self._body(self.fresh)
        if self.adapt is not None:
            self.adapt(body)
        return Network(body, self.taps, self.head)

    def plain(self) -> Network:
        """The source's own graph and the first head: for scoring, and to be given other weights."""
        return Network(self._body(None), self.taps, self.head)

    def _body(self, fresh: int | None) -> GraphModule:
        start = [self.cut.tensor] if self.cut else None
        above = [tap.name for tap in self.taps if self.cut is None or tap.depth > self.cut.depth]
        body = GraphModule.load(self.source.graph, above, start, fresh=fresh)
        hasten(body)
        for initializer in self.cut.tied if self.cut else ():
            body.freeze(initializer)
        return body


@dataclass(frozen=True, eq=False)
class State:
    """Weights of the graph by initializer, and a head: weight (C, d), bias (C,)."""

    weights: Weights
    head: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, network: Network) -> State:
        """What a network has learned: LoRA and batch normalisation are merged into the graph's own weights."""
        weight, bias = (p.detach().float().cpu().numpy().copy() for p in (network.head.weight, network.head.bias))
        return cls(network.body.moved(), weight, bias)

    def blended(self, source: State, blend: float) -> State:
        """A part of the way from `source`, which has all weights that are here."""
        if blend == 1.0:
            return self

        def between(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
            mixed: NDArray[np.float32] = (a + np.float32(blend) * (b - a)).astype(np.float32)
            return mixed

        weights = {name: between(source.weights[name], value) for name, value in self.weights.items()}
        return State(weights, between(source.head, self.head), between(source.bias, self.bias))

    def put(self, network: Network) -> None:
        """Give a plain network these weights."""
        network.body.take(self.weights)
        network.set_head(self.head, self.bias)

    def moved(self, start: Start, center: float, scale: float) -> Moved:
        """As the protocol has it: for features as they come, and a regression in the target's own unit."""
        head = InitialHead(self.head, self.bias, start.head.center, start.head.scale)
        weight, bias = (x.astype(np.float64) * scale for x in head.raw)
        return Moved(self.weights, start.taps, weight.astype(np.float32), (bias + center).astype(np.float32))
