"""Eigenbases of folds' training items, kept from the head that factorised them for those that come after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from headstart.data.splits import Fold
from headstart.heads.base import Floats, Head
from headstart.heads.eigen_head import EigenHead
from headstart.heads.eigenbasis import Eigenbasis, factorise
from headstart.heads.rows import working_dtype
from headstart.plan.views import View

# Of all bases together: those of three layer sets of 1,300 items, or of one of 1,280 columns.
MOST_BYTES = 2**26
_SINGLE = np.dtype(np.float32).itemsize


@dataclass(eq=False)
class Bases:
    """The kept ones: eigenvectors in the precision of products, without the items.

    Which are kept depends on sizes alone, never on what thread comes first: the same data give the same numbers.

    Attributes:
        most_bytes: what may be held.
    """

    most_bytes: int = MOST_BYTES
    _reserved: dict[tuple[str, str], int] = field(default_factory=dict)
    _kept: dict[tuple[str, str, int], Eigenbasis] = field(default_factory=dict)

    @classmethod
    def between(cls, heads: Iterable[Head]) -> Bases | None:
        """Where some heads leave bases and others take them; None where there is nothing to share."""
        able = {head.exact for head in heads if isinstance(head, EigenHead)}
        return cls() if len(able) == 2 else None

    def make_room(self, most_bytes: int) -> None:
        """Hold at most so many bytes from now on, or MOST_BYTES; where more are held, none."""
        self.most_bytes = min(MOST_BYTES, most_bytes)
        if sum(self._reserved.values()) > self.most_bytes:
            self.only(())

    def reserve(self, view: View, folds: Iterable[Fold]) -> None:
        """Have the view's bases kept, of every fold, if there is room for them."""
        needed = sum(_SINGLE * min(len(fold.train), view.width) ** 2 for fold in folds)
        if sum(self._reserved.values()) + needed <= self.most_bytes:
            self._reserved[view.source, view.detail] = needed

    def basis(self, view: View, fold: int, x: Floats, weights: NDArray[np.float64], *, exact: bool) -> Eigenbasis:
        """That of a fold's training items x (n, d) under floored weights (n,): a new one, or the one that is kept.

        Who needs `exact` vectors makes them, and leaves them to those who do not.
        """
        key = (view.source, view.detail, fold)
        kept = None if exact else self._kept.get(key)
        if kept is not None:
            return replace(kept, x=x)
        basis = factorise(x, weights)
        if exact and key[:2] in self._reserved and working_dtype(x) == np.float32:
            none = x[:0].copy()  # a view would hold the items
            self._kept[key] = replace(basis, x=none, vectors=basis.vectors.astype(np.float32))
        return basis

    def only(self, views: Iterable[View]) -> None:
        """Let go of all but those of some views."""
        names = {(view.source, view.detail) for view in views}
        self._reserved = {name: size for name, size in self._reserved.items() if name in names}
        self._kept = {key: basis for key, basis in self._kept.items() if key[:2] in names}
