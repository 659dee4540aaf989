"""Moving a recogniser on clips, or its decoder on frozen encoder states, read after every epoch on other clips.

What was learned (see `moves`) is read at several blends with the source's weights, w_source + blend (w - w_source)
(WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). A kill resumes from the last checkpoint, a loss that is no number
goes back to the last good state with a lower rate.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Examples
from headstart.speech.losses import Losses
from headstart.speech.pace import Pace
from headstart.speech.recipe import Recipe
from headstart.speech.torch_decoder import TorchDecoder
from headstart.speech.torch_encoder import TorchRecogniser
from headstart.speech.tuned import Point, Tuned

Rows = NDArray[np.int64]
BLENDS = (0.5, 1.0)
KNOWN, SURE = 2, 8  # steps that tell how long others take: at an epoch's end, and within one, whose batches differ
STAMPED = 0.5  # share of the clips that are learned between timestamps, which long recordings are cut by


def tune(
    checkpoint: Checkpoint, examples: Examples, train: Rows, held: Rows, recipe: Recipe, shelf: Shelf, *,
    seed: int, progress: Progress, until: int | None = None, deadline: float | None = None, detail: str = "",
) -> Tuned:  # fmt: skip
    """Train on some examples.

    Args:
        held: examples that are only read, after every epoch; none where there are none.
        until: the epoch to stop after, of those that the recipe has; None for the last, with the ends of every one.
        shelf: where the training is kept between runs.
        deadline: `time.perf_counter()`; once it is clear that the last epoch would not be learned and read by then, no
            more is done.

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
        self._checkpoint = checkpoint
        self._decoder = (TorchRecogniser if recipe.moves.encoder else TorchDecoder)(checkpoint)
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
        finished = not self._left or not self._late(KNOWN)
        if finished and not self._standing.scores and not self._read([Point(0, 0.0)]):
            raise EngineError("the loss of the recogniser as it is is not a number: its weights are out of range")
        self._keep()
        while finished and self._left:
            finished = self._epoch(bar)
        ends: dict[int, dict[str, NDArray[np.float32]]] = {}
        for key, value in self._ends.items():
            epoch, _, name = key.partition("/")
            ends.setdefault(int(epoch), {})[name] = value.float().cpu().numpy()
        notes = tuple(self._standing.notes)
        missing = 0.0 if finished or self._pace.steps < KNOWN else self._beyond
        return Tuned(self._checkpoint, self._moves, dict(ends), self._losses, notes, finished, missing)

    @property
    def _left(self) -> int:
        """Steps from where the training stands to the last epoch that is wanted."""
        return max(self._wanted[-1] * self._batches.per_epoch - self._standing.step, 0)

    @property
    def _beyond(self) -> float:
        """Seconds from the deadline to the end of what is left, with a reading an epoch, about."""
        return self._pace.beyond(self._left, -(-self._left // self._batches.per_epoch))

    def _late(self, known: int) -> bool:
        """True where what is left would not end before the deadline; until `known` steps were made, one more step."""
        return (self._beyond if self._pace.steps >= known else self._pace.beyond(1, 1)) > 0

    def _epoch(self, bar: Any) -> bool:
        """The rest of the epoch in which the training stands; False where the deadline ended it."""
        epoch, first = divmod(self._standing.step, self._batches.per_epoch)
        total = self._batches.per_epoch * self._settings.epochs
        if self._late(KNOWN):
            return False
        for number, batch in enumerate(self._batches.epoch(epoch)[first:], first):
            if self._late(SURE):
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
                own = self._optimiser.parameters.items()
                self._ends |= {f"{epoch + 1}/{n}": p.detach().to("cpu", copy=True) for n, p in own}
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
