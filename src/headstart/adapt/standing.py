"""Where a training stands, and how it gets back there: from memory after a loss that is no number, from disk after a
kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.adapt.checkpoint import Arrays, Shelf
from headstart.adapt.optimiser import Optimiser
from headstart.errors import EngineError
from headstart.progress import Progress

ROLLBACKS, SLOWER = 5, 0.3
"""Of one training, at most; and what the rates are multiplied with after one."""
SNAPSHOT = 200
"""Steps after which the state is kept in memory, to go back to; the end of an epoch is such a point too."""


@dataclass(eq=False)
class Standing:
    """Where a training stands, beside its numbers.

    Attributes:
        step: how many were done.
        slower: what the rates are multiplied with, 1 unless it had to go back.
        rollbacks: how often it did.
        scores: of the readings that were reached.
    """

    step: int = 0
    slower: float = 1.0
    rollbacks: int = 0
    notes: list[str] = field(default_factory=list)
    scores: list[NDArray[np.float64]] = field(default_factory=list)


class Track:
    """The way of one training, and the last good state on it.

    Attributes:
        standing: where it is; one object from beginning to end.
    """

    def __init__(
        self, changing: Callable[[], Mapping[str, Tensor]], optimiser: Optimiser, shelf: Shelf, progress: Progress,
        settled: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """`changing`: the tensors that training changes, by name.

        Args:
            settled: other tensors, to which only more are added as the training goes on: kept on disk, and in memory
                as they are; `resume` puts them there again.
        """
        self._settled = {} if settled is None else settled
        self.standing = Standing()
        self._changing, self._optimiser, self._shelf, self._progress = changing, optimiser, shelf, progress
        self._kept: tuple[dict[str, Tensor], dict[str, Tensor], int] = ({}, {}, 0)

    def say(self, line: str) -> None:
        """A note of the training."""
        self.standing.notes.append(line)
        self._progress.say(line)

    def keep(self, **fields: int) -> None:
        """Keep the state in memory; on disk too, where that is due, with what else there is to come back to."""
        s = self.standing
        self._kept = {}, {}, 0  # no longer needed, while its memory is
        weights = {name: value.detach().clone() for name, value in self._changing().items()}
        self._kept = weights, self._optimiser.state(), s.step
        if not self._shelf.due:
            return
        arrays: Arrays = {f"weight:{name}": value.cpu().numpy() for name, value in weights.items()}
        arrays |= {f"settled:{name}": value.cpu().numpy() for name, value in self._settled.items()}
        arrays |= {f"adam:{name}": value.cpu().numpy() for name, value in self._kept[1].items()}
        arrays |= {f"scores:{i}": scores for i, scores in enumerate(s.scores)}
        own = {"step": s.step, "slower": s.slower, "rollbacks": s.rollbacks, "notes": s.notes}
        self._shelf.keep(arrays, own | fields)
        if self._shelf.trouble:
            self.say(f"no checkpoints ({self._shelf.trouble}): a training that is killed begins anew")

    def resume(self) -> Mapping[str, Any] | None:
        """Back to the last checkpoint on disk; the fields it was kept with, None where there is none."""
        kept = self._shelf.resume()
        if kept is None:
            return None
        given: dict[str, dict[str, Any]] = {kind: {} for kind in ("weight", "settled", "adam", "scores")}
        for name, value in kept.arrays.items():
            kind, _, own = name.partition(":")
            given[kind][own] = np.array(value)
        self._settled |= {n: torch.from_numpy(v) for n, v in given["settled"].items()}
        self._load({n: torch.from_numpy(v) for n, v in given["weight"].items()})
        self._optimiser.restore({n: torch.from_numpy(v) for n, v in given["adam"].items()})
        s, f = self.standing, kept.fields
        s.step, s.slower, s.rollbacks = int(f["step"]), float(f["slower"]), int(f["rollbacks"])
        s.notes[:] = f["notes"]
        s.scores[:] = [given["scores"][str(i)] for i in range(len(given["scores"]))]
        return f

    def go_back(self, where: str) -> None:
        """To the state that was last kept, with lower rates.

        Args:
            where: the loss was no number, as "epoch 3".

        Raises:
            EngineError: it did so too often.
        """
        s = self.standing
        s.rollbacks += 1
        if s.rollbacks > ROLLBACKS:
            raise EngineError(
                f"the loss was not a number {s.rollbacks} times, in {where} at last, whatever the learning rate: "
                "the source's weights or the labels are out of range; the frozen source still works"
            )
        weights, moments, s.step = self._kept
        s.slower *= SLOWER
        self._load(weights)
        self._optimiser.restore(moments)
        self.say(f"the loss was not a number in {where}: went back, and on with learning rates x {s.slower:.2g}")

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        changing = self._changing()
        with torch.no_grad():
            for name, value in weights.items():
                changing[name].copy_(value)
