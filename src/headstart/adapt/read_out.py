"""What a training says where it is read: the source's own graph, given the weights as they are, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.adapt.base import Job, Moved, Reading, Rows
from headstart.adapt.initial_head import probe
from headstart.adapt.network import Network, Start, State
from headstart.features.windowed import windowed

if TYPE_CHECKING:
    from headstart.adapt.device import Device
    from headstart.adapt.inputs import Inputs
    from headstart.adapt.losses import Objective

_SCORED = 64  # items scored at a time
Numbers = NDArray[np.float64]


class ReadOut:
    """A plain network, and the items that it is read on.

    Attributes:
        source: the state before training.
    """

    def __init__(
        self, job: Job, start: Start, plain: Network, objective: Objective, inputs: Inputs, train: Rows, test: Rows,
        device: Device,
    ) -> None:  # fmt: skip
        """`plain`: with the source's weights and the first head, in the objective's unit."""
        self._job, self._start, self._plain, self._objective = job, start, plain, objective
        self._inputs, self._train, self._test, self._device = inputs, train, test, device
        self.source = State.of(plain)

    def scores(self, state: State, reading: Reading) -> Numbers:
        """(len(test), C) logits of the test rows; regression: predictions."""
        state = self._put(state, reading)
        if reading.head == "own":
            scores = self._run(self._plain, self._test, len(state.bias)).astype(np.float64)
            return scores * self._objective.scale + self._objective.center
        weight, bias = self._refit()
        return self._features(self._test).astype(np.float64) @ weight.T + bias

    def moved(self, state: State, reading: Reading) -> Moved:
        """The weights and the head there."""
        state = self._put(state, reading)
        if reading.head == "own":
            return state.moved(self._start, self._objective.center, self._objective.scale)
        weight, bias = (part.astype(np.float32) for part in self._refit())
        return Moved(state.weights, self._start.taps, weight, bias)

    def _put(self, state: State, reading: Reading) -> State:
        """Give the plain network the weights of a reading."""
        blended = state.blended(self.source, reading.blend)
        blended.put(self._plain)
        return blended

    def _refit(self) -> tuple[Numbers, Numbers]:
        """A head (C, d), (C,) by ridge on what the network says of the training items as they are."""
        return probe(self._job, self._features(self._train), self._train)

    def _features(self, rows: Rows) -> NDArray[np.float32]:
        return self._run(self._plain.features, rows, sum(tap.width for tap in self._start.taps))

    def _run(self, module: Callable[[Mapping[str, Tensor]], Tensor], rows: Rows, width: int) -> NDArray[np.float32]:
        """(len(rows), width) what a part of the network gives for the rows' items, unvaried."""
        lengths = self._inputs.lengths(rows)
        order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
        found = np.zeros((len(rows), width), np.float32)
        size = min(_SCORED, self._inputs.most or _SCORED)
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        feeds = windowed((partial(self._inputs.feeds, rows[part], None) for part in parts), 1)
        with torch.inference_mode(), closing(feeds):
            for part, some in zip(parts, feeds, strict=True):
                found[part] = module(self._device.put(some)).float().cpu().numpy()
        return found
