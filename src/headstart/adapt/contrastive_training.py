"""The loop of a contrastive training: from the source, over steps, to the readings that were asked for.

What goes wrong does not end it: memory that runs short caches gradients and then makes passes smaller, a loss that is
no number goes back to the last good state with lower rates, a kill resumes from the last checkpoint, a deadline stops
it where it stands. All but the deadline give what an undisturbed run gives, or say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.adapt.base import Job, Learned, Moved, Reading, Rows
from headstart.adapt.checkpoint import Shelf
from headstart.adapt.contrastive_batches import ContrastBatches, passes
from headstart.adapt.contrastive_gradient import Encoder, Gradient
from headstart.adapt.contrastive_loss import affinity, contrastive_loss
from headstart.adapt.cuts import last_tap
from headstart.adapt.device import Device
from headstart.adapt.inputs import Inputs
from headstart.adapt.losses import item_weights
from headstart.adapt.memory import is_out_of_memory, too_little_memory
from headstart.adapt.optimiser import Optimiser
from headstart.adapt.recipe import Recipe
from headstart.adapt.standing import Track
from headstart.heads.logistic import Logistic

BYTES_HELD = 2_000_000_000
"""What passes may keep for their backward pass before gradients are cached."""
# What a pass costs before its first token: MiniLM, 2 cores with AMX.
_PASS_COST = 250
_PASS_TOKENS, _PASS_IMAGES = 4096, 32
_SCORED = 64  # items embedded at a time for the head and for scores
_VARIED = 4  # what a generator is for; batches.py and contrastive_batches.py have the others


class ContrastiveTraining:
    """One training of one encoder. Use once, inside `own_randomness`.

    Attributes:
        finished: False where the deadline ended it: another run would go further.
    """

    finished = True

    def __init__(
        self, job: Job, recipe: Recipe, temperature: float, inputs: Inputs, train: Rows, test: Rows, shelf: Shelf,
        device: Device,
    ) -> None:  # fmt: skip
        self._job, self._settings, self._temperature = job, recipe.settings, temperature
        self._inputs, self._train, self._test, self._shelf, self._device = inputs, train, test, shelf, device
        self._tap = last_tap(job.source)
        self._target = job.target.take(train)
        self._weights = None if job.weights is None else job.weights[train]
        self._labels = torch.from_numpy(self._target.encoded().astype(np.float32))
        anchors = item_weights(self._target, self._weights)
        self._anchors = torch.from_numpy(anchors.astype(np.float32))
        cut = None if recipe.cut is None else recipe.cut.tensor
        self._encoder = Encoder(job.source, self._tap, cut).to(device.torch)
        self._encoder.freeze_embeddings(job.source.taps)
        self._plain = Encoder(job.source, self._tap, cut).to(device.torch).eval()
        self._source = self._encoder.body.moved()
        self._gradient = Gradient(self._encoder, device, BYTES_HELD)
        self._optimiser = Optimiser(self._encoder, self._encoder.body.depths(job.source.taps), recipe.settings)
        self._batches = ContrastBatches(self._target, recipe.settings.batch, job.seed)
        self._most = inputs.most or (_PASS_IMAGES if inputs.lengths(train[:1]) is None else _PASS_TOKENS)
        optimiser = self._optimiser  # not `self`, in the function below: a cycle outlives its training
        self._track = Track(lambda: optimiser.parameters, optimiser, shelf, job.progress)
        self._standing = self._track.standing

    def run(self, readings: Sequence[Reading]) -> Learned:
        """Train, and score the test rows at each reading.

        Raises:
            EngineError: even one item at a time does not fit the memory, or an operator cannot be trained.
        """
        self._resume()
        self._keep()
        self._encoder.train()
        s, last = self._standing, readings[-1].epoch * self._batches.per_epoch
        if not bool(affinity(self._labels).any()):
            last = 0
            self._track.say("no two training items share a class, so there is nothing to learn by contrast")
        with self._job.progress.bar("train", self._job.source.name, last, "steps") as bar:
            bar.advance(s.step)
            self._read(readings)
            while s.step < last:
                if self._device.agreed(self._job.deadline is not None and time.perf_counter() > self._job.deadline):
                    self.finished = False
                    self._track.say(f"stopped at its deadline after {s.step} of {last} steps")
                    break
                if self._step():
                    bar.advance(1)
                    self._read(readings)
                    self._keep()
        while len(s.scores) < len(readings):
            s.scores.append(self._fit(readings[len(s.scores)].blend)[1])
        moved, _ = self._fit(readings[-1].blend)
        return Learned(tuple(s.scores), moved, tuple(s.notes))

    def _step(self) -> bool:
        """One step of the optimiser; False where the loss was no number and the last good state is back."""
        s = self._standing
        steps = self._settings.epochs * self._batches.per_epoch
        self._optimiser.set_rate(self._settings.factor(s.step, steps) * s.slower)
        batch = self._batches.step(s.step)
        while True:
            try:
                finite = self._backward(batch, s.step)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(error)
        if self._device.agreed(not finite):
            self._track.go_back(f"step {s.step + 1}")
            return False
        self._optimiser.adam.step()
        s.step += 1
        return True

    def _backward(self, batch: Rows, step: int) -> bool:
        """Gradients of a step's loss, clipped; False where they are no numbers."""
        self._optimiser.adam.zero_grad(set_to_none=True)
        parts = self._passes(batch)
        rows = torch.from_numpy(batch)
        labels, anchors = (x[rows].to(self._device.torch) for x in (self._labels, self._anchors))

        def feeds(number: int) -> dict[str, Tensor]:
            rng = np.random.default_rng([self._job.seed, _VARIED, step, number])
            return self._device.put(self._inputs.feeds(self._train[batch[parts[number]]], rng))

        self._gradient.add(feeds, parts, lambda z: contrastive_loss(z, labels, self._temperature, anchors))
        norm = torch.nn.utils.clip_grad_norm_(self._optimiser.parameters.values(), self._settings.clip)
        return bool(torch.isfinite(norm))

    def _passes(self, batch: Rows) -> list[Rows]:
        """Positions in `batch` that go through the network together."""
        lengths = self._inputs.lengths(self._train[batch])
        if lengths is None:
            return [np.arange(i, min(i + self._most, len(batch))) for i in range(0, len(batch), self._most)]
        return passes(lengths, _PASS_COST, self._most)

    def _shrink(self, error: Exception) -> None:
        """Keep nothing between passes; then smaller ones."""
        self._optimiser.adam.zero_grad(set_to_none=True)
        self._device.free()
        if self._most == 1 or self._device.processes > 1:
            raise too_little_memory(" with one item at a time") from error
        if self._gradient.bytes_held:
            self._gradient = replace(self._gradient, bytes_held=0)
            self._track.say("memory is short: gradients are cached, each item is embedded twice a step")
        else:
            self._most = -(-self._most // 2)
            self._track.say("memory is short: fewer items at a time, as many a step as before")

    def _keep(self) -> None:
        self._track.keep(held=self._gradient.bytes_held, most=self._most)

    def _resume(self) -> None:
        fields = self._track.resume()
        if fields is not None:
            self._gradient = replace(self._gradient, bytes_held=int(fields["held"]))
            self._most = int(fields["most"])

    def _read(self, readings: Sequence[Reading]) -> None:
        """Score the readings of the present step, once."""
        epoch, inside = divmod(self._standing.step, self._batches.per_epoch)
        for reading in readings[len(self._standing.scores) :]:
            if inside or reading.epoch != epoch:
                break
            self._standing.scores.append(self._fit(reading.blend)[1])

    def _fit(self, blend: float) -> tuple[Moved, NDArray[np.float64]]:
        """The closed-form head on the features of the present weights, and its logits of the test rows (m, C).

        The head is fitted anew at every blend, as each has features of its own.
        """
        weights = {
            name: (self._source[name] + np.float32(blend) * (value - self._source[name])).astype(np.float32)
            for name, value in self._encoder.body.moved().items()
        }
        self._plain.body.take(weights)
        features = self._features(self._train)
        fitted = Logistic().fit(features, self._target, weights=self._weights, seed=self._job.seed)
        head = np.ascontiguousarray(fitted.map.weight.T, np.float32)  # (C, d)
        moved = Moved(weights, (self._tap,), head, fitted.map.bias.astype(np.float32))
        return moved, fitted.scores(self._features(self._test))

    def _features(self, rows: Rows) -> NDArray[np.float32]:
        """(len(rows), d) features at the plain encoder's weights, in float32 whatever trains."""
        lengths = self._inputs.lengths(rows)
        order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
        found = np.zeros((len(rows), self._tap.width), np.float32)
        with torch.inference_mode():
            size = min(_SCORED, self._inputs.most or _SCORED)
            for i in range(0, len(rows), size):
                part = order[i : i + size]
                found[part] = self._plain(self._device.put(self._inputs.feeds(rows[part], None))).cpu().numpy()
        return found
