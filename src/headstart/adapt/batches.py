"""In which order items are learned: a permutation an epoch, from the seed alone: any step can be redone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.adapt.base import Rows

_WINDOW = 16  # batches of texts whose items are sorted by length together: less padding, nearly the same randomness
_ORDER, _VARIATION = 1, 2  # what a generator is for


class Batches:
    """The batches of each epoch over n training items.

    Attributes:
        per_epoch: how many there are.
    """

    def __init__(self, n: int, size: int, seed: int, lengths: NDArray[np.int64] | None = None) -> None:
        """`lengths`: tokens of each text; None for others."""
        self.per_epoch = -(-n // size)
        self._n, self._seed, self._lengths = n, seed, lengths

    def epoch(self, epoch: int) -> list[Rows]:
        """Positions among the training items, nearly as many in each batch; every item once."""
        rng = np.random.default_rng([self._seed, _ORDER, epoch])
        order = rng.permutation(self._n)
        batches = np.array_split(order, self.per_epoch)
        if self._lengths is None or len(batches) < 2:
            return batches
        found: list[Rows] = []
        for start in range(0, len(batches), _WINDOW):
            some = batches[start : start + _WINDOW]
            together = np.concatenate(some)
            together = together[np.argsort(self._lengths[together], kind="stable")]
            found += np.array_split(together, len(some))
        return [found[i] for i in rng.permutation(len(found))]

    def variation(self, epoch: int, batch: int) -> np.random.Generator:
        """What varies the items of a batch."""
        return np.random.default_rng([self._seed, _VARIATION, epoch, batch])
