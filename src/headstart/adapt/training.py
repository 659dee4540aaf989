"""The training loop: from a start, over epochs, to the readings that were asked for.

It goes on through what goes wrong: memory that runs short halves the micro-batch, a loss that is no number goes back to
the last good state with lower rates, a kill resumes from the last checkpoint, a deadline stops it where it stands. All
but the deadline give what an undisturbed run gives, or say so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.adapt.base import Job, Learned, Reading, Rows
from headstart.adapt.batches import Batches
from headstart.adapt.checkpoint import Shelf
from headstart.adapt.device import Device
from headstart.adapt.inputs import Feeds, Inputs
from headstart.adapt.losses import Objective
from headstart.adapt.memory import is_out_of_memory, too_little_memory
from headstart.adapt.network import Network, Start, State
from headstart.adapt.optimiser import Optimiser
from headstart.adapt.read_out import ReadOut
from headstart.adapt.settings import Settings
from headstart.adapt.standing import SNAPSHOT, Track
from headstart.engines.processor import processor
from headstart.features.windowed import windowed


class Training:
    """One training of one network. Use once, inside `own_randomness`."""

    def __init__(
        self, job: Job, start: Start, settings: Settings, inputs: Inputs, train: Rows, test: Rows, shelf: Shelf,
        device: Device,
    ) -> None:  # fmt: skip
        self._job, self._settings, self._inputs, self._shelf, self._device = job, settings, inputs, shelf, device
        self._train = train
        target = job.target.take(train)
        weights = None if job.weights is None else job.weights[train]
        self._objective = Objective(target, weights, settings.smoothing).to(device.torch)
        self._network = start.network().to(device.torch)
        plain = start.plain().to(device.torch).eval()
        self._standardise_heads(self._network, plain)
        self._read_out = ReadOut(job, start, plain, self._objective, inputs, train, test, device)
        self._wrapped = device.accelerator.prepare_model(self._network)
        self._optimiser = Optimiser(self._network, self._network.body.depths(job.source.taps), settings)
        self._batches = Batches(len(train), settings.batch, job.seed, inputs.lengths(train))
        self._micro = min(settings.batch, inputs.most or settings.batch)
        self._track = Track(partial(_changing, self._network), self._optimiser, shelf, job.progress)
        self._standing = self._track.standing

    def _standardise_heads(self, *networks: Network) -> None:
        """The first head of a regression predicts the target's unit; training is on standardised numbers."""
        scale, center = self._objective.scale, self._objective.center
        for network in networks:
            with torch.no_grad():
                network.head.weight.div_(scale)
                network.head.bias.sub_(center).div_(scale)

    def run(self, readings: Sequence[Reading]) -> Learned:
        """Train, and score the test rows at each reading.

        Raises:
            EngineError: even one item at a time does not fit the memory, or an operator cannot be trained.
        """
        last = readings[-1].epoch * self._batches.per_epoch
        total = self._settings.epochs * self._batches.per_epoch
        self._resume()
        self._keep()
        self._network.train()
        unit = {"image": "images", "text": "texts", "sound": "clips"}[self._job.source.modality]
        with self._job.progress.bar("train", self._job.source.name, last * self._settings.batch, unit) as bar:
            bar.advance(self._standing.step * self._settings.batch)
            self._read(readings)
            while self._standing.step < last:
                if not self._epoch(total, readings, bar.advance):
                    self._note_stop(readings[-1].epoch)
                    break
        while len(self._standing.scores) < len(readings):
            self._standing.scores.append(self._score(readings[len(self._standing.scores)]))
        moved = self._read_out.moved(State.of(self._network.eval()), readings[-1])
        return Learned(tuple(self._standing.scores), moved, tuple(self._standing.notes))

    @property
    def finished(self) -> bool:
        """False where a deadline ended it: another run would go further."""
        return not self._stopped

    _stopped = False

    def _epoch(self, total: int, readings: Sequence[Reading], advance: Callable[[int], None]) -> bool:
        """The rest of the epoch in which the training stands; False where the deadline ended it."""
        epoch, first = divmod(self._standing.step, self._batches.per_epoch)
        batches = self._batches.epoch(epoch)
        with closing(self._feeds(batches, epoch, first)) as feeds:
            for batch, given in zip(batches[first:], feeds, strict=True):
                if self._device.agreed(self._job.deadline is not None and time.perf_counter() > self._job.deadline):
                    self._stopped = True
                    self._keep()  # what was learned of the epoch, for a run with more time
                    return False
                factor = self._settings.factor(self._standing.step, total) * self._standing.slower
                if not self._step(given, batch, factor):
                    self._track.go_back(f"epoch {epoch + 1}")
                    return True
                self._standing.step += 1
                advance(self._settings.batch)
                if self._standing.step % self._batches.per_epoch == 0:
                    self._read(readings)
                    self._keep()
                elif (self._standing.step - epoch * self._batches.per_epoch) % SNAPSHOT == 0:
                    self._keep()
        return True

    def _feeds(self, batches: Sequence[Rows], epoch: int, first: int) -> Generator[Feeds, None, None]:
        """The batches from `first` on, made a little ahead by other threads."""
        jobs = (
            partial(self._inputs.feeds, self._train[batches[i]], self._batches.variation(epoch, i))
            for i in range(first, len(batches))
        )
        return windowed(jobs, 1 if self._device.on_cpu else processor().workers)

    def _step(self, feeds: Feeds, batch: Rows, factor: float) -> bool:
        """One step of the optimiser; False where the loss is no number, and nothing was changed."""
        self._optimiser.set_rate(factor)
        while True:
            try:
                finite = self._backward(feeds, batch)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(error)
        if self._device.agreed(not finite):
            return False
        self._optimiser.adam.step()
        return True

    def _backward(self, feeds: Feeds, batch: Rows) -> bool:
        """Gradients of the batch's mean loss, clipped; False where they are no numbers."""
        self._optimiser.adam.zero_grad(set_to_none=True)
        rank, world = self._device.accelerator.process_index, self._device.processes
        mine = np.array_split(np.arange(len(batch)), world)[rank]
        weight = float(world) / len(batch)  # processes' gradients are averaged
        if not len(mine):  # more processes than items: all must take part
            mine, weight = np.arange(1), 0.0
        parts = np.array_split(mine, max(1, math.ceil(len(mine) / self._micro)))
        for number, part in enumerate(parts):
            alone = self._wrapped.no_sync() if world > 1 and number + 1 < len(parts) else nullcontext()
            with alone:
                given = self._device.put({name: value[part] for name, value in feeds.items()})
                positions = torch.from_numpy(batch[part]).to(self._device.torch)
                with self._device.autocast():
                    logits = self._wrapped(given)
                loss = self._objective.total(logits, positions) * weight
                self._device.accelerator.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self._optimiser.parameters.values(), self._settings.clip)
        return bool(torch.isfinite(norm))

    def _shrink(self, error: Exception) -> None:
        """Half of the items at a time."""
        self._optimiser.adam.zero_grad(set_to_none=True)
        self._device.free()
        if self._micro == 1 or self._device.processes > 1:
            raise too_little_memory(f" with {self._micro} items at a time") from error
        self._micro = math.ceil(min(self._micro, self._settings.batch) / 2)
        self._track.say(f"memory is short: {self._micro} items at a time, {self._settings.batch} a step as before")

    def _keep(self) -> None:
        self._track.keep(micro=self._micro)

    def _resume(self) -> None:
        fields = self._track.resume()
        if fields is not None:
            self._micro = int(fields["micro"])

    def _read(self, readings: Sequence[Reading]) -> None:
        """Score the readings of the present step, once."""
        epoch, inside = divmod(self._standing.step, self._batches.per_epoch)
        for reading in readings[len(self._standing.scores) :]:
            if inside or reading.epoch != epoch:
                break
            self._standing.scores.append(self._score(reading))

    def _score(self, reading: Reading) -> NDArray[np.float64]:
        """(len(test), C) scores of the test rows at a reading of the present state."""
        state = State.of(self._network.eval())
        self._network.train()
        return self._read_out.scores(state, reading)

    def _note_stop(self, epochs: int) -> None:
        done = self._standing.step / self._batches.per_epoch
        self._track.say(f"stopped at its deadline after {done:.1f} of {epochs} epochs")


def _changing(network: Network) -> dict[str, torch.Tensor]:
    """What training changes: parameters that train, and the statistics of batch normalisation."""
    found = {name: p for name, p in network.named_parameters() if p.requires_grad}
    return found | {name: value for name, value in network.named_buffers() if _is_statistic(name)}


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))
