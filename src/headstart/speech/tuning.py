"""Moving a recogniser's decoder: LoRA on frozen encoder states, read after every epoch on clips held out.

What was learned (see `lora`) is read at several blends with the source's weights, w = w_source + blend B A (WiSE-FT,
Wortsman et al. 2022, arXiv 2109.01903). A kill resumes from the last checkpoint, which the end of an epoch leaves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its usual name

from headstart.adapt.batches import Batches
from headstart.adapt.checkpoint import Shelf
from headstart.adapt.device import Device, own_randomness
from headstart.adapt.optimiser import Optimiser
from headstart.adapt.settings import Settings
from headstart.errors import EngineError
from headstart.progress import Progress
from headstart.speech.checkpoint import Checkpoint, Weights
from headstart.speech.examples import Batch, Examples
from headstart.speech.lora import add_lora, deltas, scaled
from headstart.speech.torch_decoder import TorchDecoder

Rows = NDArray[np.int64]
BLENDS = (0.5, 1.0)
STAMPED = 0.5  # share of the clips that are learned between timestamps, which long recordings are cut by
_READ = 16  # clips read at a time


@dataclass(frozen=True)
class Recipe:
    """How a recogniser is tuned.

    Attributes:
        settings: the numbers of the training. Labels are not smoothed: over a vocabulary of 50,000 that drowns what a
            few minutes teach (40 Spanish clips, base, loss of 25 others: 0.79 untouched, 0.56 smoothed, 0.47 not).
        rank: of the products B A.
    """

    settings: Settings = field(default_factory=lambda: Settings(epochs=8, batch=16, rate=1e-3, smoothing=0.0))
    rank: int = 16

    def state(self) -> dict[str, Any]:
        """As JSON has it, to tell trainings apart."""
        return asdict(self)


@dataclass(frozen=True)
class Point:
    """A place on the way of a training: after `epoch` epochs, `blend` of the way from the source."""

    epoch: int
    blend: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a training gave.

    Attributes:
        weights: of the decoder, at `point`, float32, under CTranslate2's names.
        losses: of the clips held out, a token, at each point that was read; (0, 0) is the source.
        finished: False where a deadline ended it.
    """

    weights: Weights
    point: Point
    losses: dict[Point, float]
    finished: bool = True


def tune(
    checkpoint: Checkpoint, examples: Examples, train: Rows, held: Rows, recipe: Recipe, shelf: Shelf, *,
    seed: int, progress: Progress, until: Point | None = None, deadline: float | None = None, detail: str = "",
) -> Tuned:  # fmt: skip
    """Train on some examples; the weights are those of the point with the least loss on `held`.

    Args:
        held: examples that are only read; empty where `until` says where to stop.
        until: the point that is wanted, whatever the losses are.
        shelf: where the training is kept between runs.
        deadline: `time.perf_counter()` after which no step is begun.

    Raises:
        MissingLayerError: torch, accelerate or peft is not installed.
        EngineError: the loss is not a number.
    """
    with own_randomness(seed):
        training = _Training(checkpoint, examples, train, held, recipe, shelf, seed)
        epochs = until.epoch if until else recipe.settings.epochs
        with progress.bar("tune", detail or checkpoint.name, epochs * len(train), "clips") as bar:
            return training.run(epochs, until, deadline, bar)


class _Training:
    """One training. Use once."""

    def __init__(
        self, checkpoint: Checkpoint, examples: Examples, train: Rows, held: Rows, recipe: Recipe, shelf: Shelf,
        seed: int,
    ) -> None:  # fmt: skip
        self._examples, self._train, self._held, self._shelf = examples, train, held, shelf
        self._settings, self._device = recipe.settings, Device(recipe.settings.bf16)
        self._decoder = TorchDecoder(checkpoint)
        self._source = self._decoder.weights()
        add_lora(self._decoder, recipe.rank)
        self._decoder.to(self._device.torch)
        self._optimiser = Optimiser(self._decoder, _depths(self._decoder), recipe.settings)
        self._batches = Batches(len(train), recipe.settings.batch, seed, examples.lengths[train])
        self._step = 0
        self._losses: dict[Point, float] = {}
        self._best: tuple[Point, dict[str, Tensor]] | None = None

    def run(self, epochs: int, until: Point | None, deadline: float | None, bar: Any) -> Tuned:
        """From where a killed run stood to the end of `epochs`."""
        self._resume()
        bar.advance(self._step * self._settings.batch, cached=True)
        if not self._losses and len(self._held):
            self._losses[Point(0, 0.0)] = self._loss(0.0)
        total = self._batches.per_epoch * self._settings.epochs
        while self._step < epochs * self._batches.per_epoch:
            epoch, first = divmod(self._step, self._batches.per_epoch)
            for batch in self._batches.epoch(epoch)[first:]:
                if deadline is not None and time.perf_counter() > deadline:
                    return self._tuned(until, finished=False)
                stamped = (
                    self._batches.variation(*divmod(self._step, self._batches.per_epoch)).random(len(batch)) < STAMPED
                )
                self._learn(self._examples.batch(self._train[batch], stamped), self._settings.factor(self._step, total))
                self._step += 1
                bar.advance(len(batch))
            self._read(epoch + 1)
            self._keep()
        return self._tuned(until, finished=True)

    def _learn(self, batch: Batch, factor: float) -> None:
        """One step of the optimiser."""
        self._optimiser.set_rate(factor)
        self._optimiser.adam.zero_grad(set_to_none=True)
        loss = self._sum(batch, self._settings.smoothing) / int((batch.labels >= 0).sum())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._optimiser.parameters.values(), self._settings.clip)
        if not torch.isfinite(norm):
            raise EngineError("the loss of a recogniser is not a number: its weights or a recording are out of range")
        self._optimiser.adam.step()

    def _sum(self, batch: Batch, smoothing: float) -> Tensor:
        """The cross entropy of all labels, in float32; the vocabulary is scored only where there is a label."""
        put = {name: torch.from_numpy(value).to(self._device.torch) for name, value in vars(batch).items()}
        with self._device.autocast():
            hidden = self._decoder(put["tokens"], put["states"], put["there"])
            wanted = put["labels"] >= 0
            logits = self._decoder.logits(hidden[wanted])
        return F.cross_entropy(logits.float(), put["labels"][wanted], label_smoothing=smoothing, reduction="sum")

    def _read(self, epoch: int) -> None:
        """The losses of the clips held out, and the best point's products."""
        for blend in BLENDS if len(self._held) else ():
            point = Point(epoch, blend)
            self._losses[point] = self._loss(blend)
            if self._losses[point] <= min(self._losses.values()):
                self._best = point, {name: p.detach().clone() for name, p in self._optimiser.parameters.items()}

    def _loss(self, blend: float) -> float:
        """The mean loss of a token of the clips held out, unsmoothed."""
        total, tokens = 0.0, 0
        order = self._held[np.argsort(self._examples.lengths[self._held], kind="stable")]
        with torch.inference_mode(), scaled(self._decoder, blend):
            for start in range(0, len(order), _READ):
                batch = self._examples.batch(order[start : start + _READ])
                total += float(self._sum(batch, 0.0))
                tokens += int((batch.labels >= 0).sum())
        return total / tokens

    def _tuned(self, until: Point | None, *, finished: bool) -> Tuned:
        point = until or (self._best[0] if self._best else Point(0, 0.0))
        if until is None and self._best is not None:
            self._load(self._best[1])
        weights = dict(self._source)
        for name, delta in deltas(self._decoder).items():
            weights[name] = self._source[name] + np.float32(point.blend) * delta
        return Tuned(weights, point, dict(self._losses), finished)

    def _keep(self) -> None:
        if not self._shelf.due:
            return
        arrays = {f"weight:{name}": p.detach().cpu().numpy() for name, p in self._optimiser.parameters.items()}
        arrays |= {f"adam:{name}": value.cpu().numpy() for name, value in self._optimiser.state().items()}
        if self._best is not None:
            arrays |= {f"best:{name}": value.cpu().numpy() for name, value in self._best[1].items()}
        best = None if self._best is None else asdict(self._best[0])
        losses = [[point.epoch, point.blend, loss] for point, loss in self._losses.items()]
        self._shelf.keep(arrays, {"step": self._step, "losses": losses, "best": best})

    def _resume(self) -> None:
        kept = self._shelf.resume()
        if kept is None:
            return
        given: dict[str, dict[str, Tensor]] = {"weight": {}, "adam": {}, "best": {}}
        for name, value in kept.arrays.items():
            kind, _, own = name.partition(":")
            given[kind][own] = torch.from_numpy(np.array(value))
        self._load(given["weight"])
        self._optimiser.restore(given["adam"])
        self._step = int(kept.fields["step"])
        self._losses = {Point(int(epoch), float(blend)): float(loss) for epoch, blend, loss in kept.fields["losses"]}
        if kept.fields["best"] is not None:
            self._best = Point(**kept.fields["best"]), given["best"]

    def _load(self, parameters: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in parameters.items():
                self._optimiser.parameters[name].copy_(value)


def _depths(decoder: TorchDecoder) -> dict[str, int]:
    """Parameter -> 0: one rate for all of them."""
    return {name: 0 for name, p in decoder.named_parameters() if p.requires_grad}


def least(losses: Sequence[dict[Point, float]]) -> Point:
    """The point with the least mean loss over several trainings, of those that all reached; never the source."""
    shared = set(losses[0]).intersection(*losses[1:])
    ordered = sorted((point for point in shared if point.epoch), key=lambda point: (point.epoch, point.blend))
    return min(ordered, key=lambda point: sum(one[point] for one in losses))
