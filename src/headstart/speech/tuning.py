"""Moving a recogniser's decoder on frozen encoder states, read after every epoch on other clips.

What was learned (see `moves`) is read at several blends with the source's weights, w_source + blend (w - w_source)
(WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). A kill resumes from the last checkpoint, a loss that is no number
goes back to the last good state with a lower rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.adapt.batches import Batches
from headstart.adapt.checkpoint import Shelf
from headstart.adapt.device import Device, own_randomness
from headstart.adapt.optimiser import Optimiser
from headstart.adapt.standing import SNAPSHOT, Track
from headstart.errors import EngineError
from headstart.progress import Progress
from headstart.speech.checkpoint import Checkpoint, Weights
from headstart.speech.examples import Examples
from headstart.speech.losses import Losses
from headstart.speech.moves import Moves
from headstart.speech.pace import Pace
from headstart.speech.recipe import Recipe
from headstart.speech.torch_decoder import TorchDecoder

Rows = NDArray[np.int64]
BLENDS = (0.5, 1.0)
STAMPED = 0.5  # share of the clips that are learned between timestamps, which long recordings are cut by


@dataclass(frozen=True)
class Point:
    """A place on the way of a training: after `epoch` epochs, `blend` of the way from the source."""

    epoch: int
    blend: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a training gave.

    Attributes:
        source: the checkpoint it started from.
        moves: what of it trained.
        ends: the parameters that trained, after each epoch that was asked for and reached: see `Moves.deltas`.
        losses: of the clips that were only read, a token, at each point; (0, 0) is the source.
        notes: what went wrong on the way, and what was done.
        finished: False where a deadline ended it.
    """

    source: Checkpoint
    moves: Moves
    ends: dict[int, Weights]
    losses: dict[Point, float]
    notes: tuple[str, ...] = ()
    finished: bool = True

    def weights(self, point: Point) -> Weights:
        """Of the decoder that moved, float32, under CTranslate2's names."""
        own, blend = self.source.weights, np.float32(point.blend)
        moved = self.moves.deltas(own, self.ends[point.epoch])
        return {name: own[name].astype(np.float32) + blend * delta for name, delta in moved.items()}


def tune(
    checkpoint: Checkpoint, examples: Examples, train: Rows, held: Rows, recipe: Recipe, shelf: Shelf, *,
    seed: int, progress: Progress, until: int | None = None, deadline: float | None = None, detail: str = "",
) -> Tuned:  # fmt: skip
    """Train on some examples.

    Args:
        held: examples that are only read, after every epoch; none where there are none.
        until: the epoch to stop after, of those that the recipe has; None for the last, with the ends of every one.
        shelf: where the training is kept between runs.
        deadline: `time.perf_counter()`; no epoch is begun that would not be learned and read by then.

    Raises:
        MissingLayerError: torch, accelerate or peft is not installed.
        EngineError: the loss is not a number however often the training goes back, or memory is short for one clip.
    """
    with own_randomness(seed):
        training = _Training(
            checkpoint, examples, train, held, recipe, shelf, seed=seed, progress=progress, deadline=deadline
        )
        wanted = list(range(1, recipe.settings.epochs + 1)) if until is None else [until]
        with progress.bar("tune", detail or checkpoint.name, wanted[-1] * len(train), "clips") as bar:
            return training.run(wanted, bar)


class _Training:
    """One training. Use once."""

    def __init__(
        self, checkpoint: Checkpoint, examples: Examples, train: Rows, held: Rows, recipe: Recipe, shelf: Shelf, *,
        seed: int, progress: Progress, deadline: float | None,
    ) -> None:  # fmt: skip
        self._train, self._held, self._settings, self._moves = train, held, recipe.settings, recipe.moves
        device = Device(recipe.settings.bf16)
        self._checkpoint, self._decoder = checkpoint, TorchDecoder(checkpoint)
        self._moves.begin(self._decoder)
        self._decoder.to(device.torch)
        self._optimiser = Optimiser(self._decoder, _depths(self._decoder), recipe.settings)
        self._wanted: Sequence[int] = ()
        self._ends: dict[str, Tensor] = {}  # EPOCH/NAME -> the parameter after that epoch
        self._batches = Batches(len(train), recipe.settings.batch, seed, examples.lengths[train])
        optimiser = self._optimiser  # not `self`, in the function below: a cycle outlives its training
        self._track = Track(lambda: optimiser.parameters, optimiser, shelf, progress, self._ends)
        self._pace = Pace(deadline)
        self._standing = self._track.standing
        self._lost = Losses(self._decoder, examples, device, self._track.say)

    def run(self, wanted: Sequence[int], bar: Any) -> Tuned:
        """From where a killed run stood to the last of the epochs that are wanted."""
        self._wanted = wanted
        fields = self._track.resume()
        if fields is not None:
            self._lost.bytes, self._pace.reading = int(fields["bytes"]), fields["reading_ms"] / 1000
        bar.advance(self._standing.step * self._settings.batch, cached=True)
        finished = not self._pace.late(0) or self._standing.step >= wanted[-1] * self._batches.per_epoch
        if finished and not self._standing.scores and not self._read([Point(0, 0.0)]):
            raise EngineError("the loss of the recogniser as it is is not a number: its weights are out of range")
        self._keep()
        while finished and self._standing.step < wanted[-1] * self._batches.per_epoch:
            finished = self._epoch(bar)
        ends: dict[int, dict[str, NDArray[np.float32]]] = {}
        for key, value in self._ends.items():
            epoch, _, name = key.partition("/")
            ends.setdefault(int(epoch), {})[name] = value.float().cpu().numpy()
        notes = tuple(self._standing.notes)
        return Tuned(self._checkpoint, self._moves, dict(ends), self._losses, notes, finished)

    def _epoch(self, bar: Any) -> bool:
        """The rest of the epoch in which the training stands; False where the deadline ended it."""
        epoch, first = divmod(self._standing.step, self._batches.per_epoch)
        total = self._batches.per_epoch * self._settings.epochs
        if self._pace.late(self._batches.per_epoch - first):
            return False
        for number, batch in enumerate(self._batches.epoch(epoch)[first:], first):
            if self._pace.late(1):
                self._keep()  # what was learned of the epoch, for a run with more time
                return False
            stamped = self._batches.variation(epoch, number).random(len(batch)) < STAMPED
            factor = self._settings.factor(self._standing.step, total) * self._standing.slower
            with self._pace.step():
                good = self._step(self._train[batch], stamped, factor)
            if not good:
                self._track.go_back(f"epoch {epoch + 1}")
                return True
            self._standing.step += 1
            bar.advance(len(batch))
            if self._standing.step % SNAPSHOT == 0 and number + 1 < self._batches.per_epoch:
                self._keep()
        if self._read([Point(epoch + 1, blend) for blend in BLENDS]):
            if epoch + 1 in self._wanted:
                self._ends |= {f"{epoch + 1}/{n}": p.detach().clone() for n, p in self._optimiser.parameters.items()}
            self._keep()
        else:
            self._track.go_back(f"epoch {epoch + 1}, on the clips that are only read")
        return True

    def _step(self, rows: Rows, stamped: NDArray[np.bool_], factor: float) -> bool:
        """One step of the optimiser; False where the loss is no number, and nothing was changed."""
        self._optimiser.set_rate(factor)
        self._lost.backward(rows, stamped, self._settings.smoothing, self._optimiser.adam.zero_grad)
        norm = torch.nn.utils.clip_grad_norm_(self._optimiser.parameters.values(), self._settings.clip)
        if not torch.isfinite(norm):
            return False
        self._optimiser.adam.step()
        return True

    @property
    def _losses(self) -> dict[Point, float]:
        """Those that were read so far, in their order."""
        return {Point(int(epoch), float(blend)): float(loss) for epoch, blend, loss in self._standing.scores}

    def _read(self, points: Sequence[Point]) -> bool:
        """Add the losses of the clips that are only read; False where one is no number."""
        if not len(self._held):
            return True
        found = []
        for point in points:
            with (
                self._pace.read(1 / len(BLENDS)),
                self._moves.scaled(self._decoder, self._checkpoint.weights, point.blend),
            ):
                found.append(self._lost.mean(self._held))
        if not np.isfinite(found).all():
            return False
        self._standing.scores += [np.array([p.epoch, p.blend, loss]) for p, loss in zip(points, found, strict=True)]
        return True

    def _keep(self) -> None:
        self._track.keep(bytes=self._lost.bytes, reading_ms=round(1000 * self._pace.reading))


def _depths(decoder: TorchDecoder) -> dict[str, int]:
    """Parameter -> 0: one rate for all of them."""
    return {name: 0 for name, p in decoder.named_parameters() if p.requires_grad}


def least(losses: Sequence[dict[Point, float]]) -> Point:
    """The point with the least mean loss over several trainings, of those that all reached; never the source."""
    shared = set(losses[0]).intersection(*losses[1:])
    ordered = sorted((point for point in shared if point.epoch), key=lambda point: (point.epoch, point.blend))
    return min(ordered, key=lambda point: sum(one[point] for one in losses))
