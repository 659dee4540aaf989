"""What a training of a recogniser gave, at each place on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.speech.checkpoint import Checkpoint, Weights
from headstart.speech.moves import Moves


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
        missing: seconds that it would have taken beyond the deadline which ended it, about; 0 where nobody knows.
    """

    source: Checkpoint
    moves: Moves
    ends: dict[int, Weights]
    losses: dict[Point, float]
    notes: tuple[str, ...] = ()
    finished: bool = True
    missing: float = 0.0

    def weights(self, point: Point) -> Weights:
        """Those that moved, float32, under CTranslate2's names."""
        own, blend = self.source.weights, np.float32(point.blend)
        moved = self.moves.deltas(own, self.ends[point.epoch])
        return {name: own[name].astype(np.float32) + blend * delta for name, delta in moved.items()}


def least(losses: Sequence[dict[Point, float]]) -> Point:
    """The point with the least mean loss over several trainings, of those that all reached; never the source."""
    shared = set(losses[0]).intersection(*losses[1:])
    ordered = sorted((point for point in shared if point.epoch), key=lambda point: (point.epoch, point.blend))
    return min(ordered, key=lambda point: sum(one[point] for one in losses))
