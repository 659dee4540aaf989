"""The gradient of a contrastive step: every item is embedded once, and all are compared with all.

The loss has no gradient before the features of all items are there. As long as memory allows, each pass through the
network keeps what its backward pass needs; beyond that passes keep nothing, and are run again once the gradient of
their features is known (gradient caching: Gao et al., 2021, arXiv 2101.06983). It is the same gradient:

    dL/dw = sum over passes of (dL/dfeatures of the pass) (dfeatures of the pass/dw)

With several processes each embeds its share, all see all features, and gradients are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from headstart.adapt.base import Rows
from headstart.adapt.device import Device
from headstart.adapt.fast_layers import hasten
from headstart.adapt.graph import GraphModule
from headstart.adapt.ragged import run
from headstart.sources.base import Source, Tap


class Encoder(nn.Module):  # type: ignore[misc]
    """What of a source stands above a cut, or all of it, and one of its taps as float32 features.

    Attributes:
        body: the graph; its parameters keep the initializers' values in torch's shapes.
        width: of the features.
    """

    def __init__(self, source: Source, tap: Tap, cut: str | None = None) -> None:
        """`cut`: the tensor that is fed; None for the graph's own inputs."""
        super().__init__()
        self.body = GraphModule.load(source.graph, [tap.name], None if cut is None else [cut])
        hasten(self.body)
        self.width = tap.width
        self._tap = tap

    def forward(self, feeds: Mapping[str, Tensor]) -> Tensor:
        """(n, width) float32."""
        features: Tensor = run(self.body, feeds, [self._tap])[self._tap.name].float()
        return features

    def freeze_embeddings(self, taps: Sequence[Tap]) -> None:
        """Stop training a table of words and what lies as deep: most of a small encoder's weights, each seldom seen."""
        depths = self.body.depths(taps)
        tables = [f"{name}.weight" for name, layer in self.body.named_children() if isinstance(layer, nn.Embedding)]
        ground = max((depths[name] for name in tables), default=-1)
        if ground < max(depths.values()):
            for name, parameter in self.body.named_parameters():
                parameter.requires_grad_(depths[name] > ground)


@dataclass(frozen=True, eq=False)
class Gradient:
    """Gradients of losses that compare all items of a step.

    Attributes:
        bytes_held: what passes may keep for their backward pass, about; what is over is run twice.
    """

    encoder: Encoder
    device: Device
    bytes_held: int

    def add(
        self, feeds: Callable[[int], Mapping[str, Tensor]], parts: Sequence[Rows], loss: Callable[[Tensor], Tensor]
    ) -> None:
        """Add the gradient of one step's loss to the encoder's parameters.

        Args:
            feeds: a pass's feeds by its number, on the device; the same whenever it is asked for the same.
            parts: for each pass the positions of its items among the n items of the step.
            loss: of the features (n, width) of all items.
        """
        rank, world = self.device.accelerator.process_index, self.device.processes
        mine = range(rank, len(parts), world)
        n = sum(len(part) for part in parts)
        features = torch.zeros(n, self.encoder.width, device=self.device.torch)
        graphs: dict[int, Tensor] = {}
        used = 0
        with (
            self.device.autocast()
        ):  # casts each weight once; passes with a graph come first, or the others' casts serve
            for number in mine:
                with torch.set_grad_enabled(used < self.bytes_held), SavedBytes() as saved:
                    found = self.encoder(feeds(number))
                used += saved.total
                features[parts[number]] = found.detach()
                if found.requires_grad:
                    graphs[number] = found
        if world > 1:
            features = self.device.accelerator.reduce(features, reduction="sum")
        wanted = _slope(loss, features)
        for number in mine:
            found = graphs.pop(number) if number in graphs else self._again(feeds(number))
            found.backward(wanted[parts[number]])
        if world > 1:
            self._sum()

    def _again(self, feeds: Mapping[str, Tensor]) -> Tensor:
        with self.device.autocast():
            found: Tensor = self.encoder(feeds)
        return found

    def _sum(self) -> None:
        """Over processes; each was given the gradient of its share."""
        for p in self.encoder.parameters():
            if p.requires_grad:
                own = torch.zeros_like(p) if p.grad is None else p.grad
                p.grad = self.device.accelerator.reduce(own, reduction="sum")


def _slope(loss: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """The gradient of the loss with respect to the features."""
    leaf = features.detach().requires_grad_()
    loss(leaf).backward()
    assert leaf.grad is not None
    return leaf.grad


@dataclass(eq=False)
class SavedBytes:
    """Counts what autograd keeps of what is computed inside it: distinct storages, parameters aside."""

    _sizes: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._see, lambda x: x)

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self._sizes.values())

    def _see(self, x: Tensor) -> Tensor:
        if not isinstance(x, nn.Parameter):
            storage = x.untyped_storage()
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return x

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
