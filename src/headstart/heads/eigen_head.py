"""Heads that learn in one and the same space: what one factorised serves the others."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import FittedHead
from headstart.heads.eigenbasis import Eigenbasis
from headstart.tasks import Target


@runtime_checkable
class EigenHead(Protocol):
    """A head that learns in the items' eigenbasis, columns standardised: several may learn in the same one.

    Attributes:
        exact: whether it needs the eigenvectors in float64; else they may have the precision of its products.
    """

    @property
    def exact(self) -> bool: ...

    def fit_in(
        self,
        basis: Eigenbasis,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedHead:
        """`Head.fit` on basis.x, which `factorise` factorised under the same weights, floored."""
