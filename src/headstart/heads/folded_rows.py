"""Items sorted by fold, and products with them for fits that each leave a fold out: every row is read once for all.

Fits of few outputs are products of a large matrix with a few columns, which take as long as reading the matrix does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.base import Floats

# The name of a fit that leaves no fold out.
EVERYTHING = -1


@dataclass(frozen=True, eq=False)
class FoldedRows:
    """The rows.

    Attributes:
        rows: (n, q), sorted by fold.
        bounds: (K + 1,) where each of the K folds begins, and n.
    """

    rows: Floats
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Floats, folds: NDArray[np.int64]) -> FoldedRows:
        """From rows sorted by their folds (n,), 0..K-1."""
        return cls(rows, np.searchsorted(folds, np.arange(int(folds[-1]) + 2)))

    def out(self, fold: int) -> slice:
        """The rows that a fit leaves out: those of its fold."""
        return slice(0, 0) if fold == EVERYTHING else slice(*self.bounds[fold : fold + 2].tolist())

    def kept(self, fold: int) -> NDArray[np.int64]:
        """The positions of the rows that a fit learns from, ascending."""
        return np.delete(np.arange(len(self.rows)), self.out(fold))

    def times(self, coefficients: Mapping[int, Floats]) -> dict[int, Floats]:
        """By the fold that a fit leaves out, its kept rows times its coefficients (q, C): (m, C)."""
        found = {
            fold: np.empty((len(self.rows) - self._left_out(fold), part.shape[1]), self.rows.dtype)
            for fold, part in coefficients.items()
        }
        for rows, places in self._parts(coefficients):
            products = rows @ _beside([coefficients[fold] for fold in places])
            for fold, product in zip(places, _apart(products, [found[fold] for fold in places]), strict=True):
                found[fold][places[fold]] = product
        return found

    def transposed_times(self, values: Mapping[int, Floats]) -> dict[int, Floats]:
        """By the fold that a fit leaves out, the transpose of its kept rows times values (m, C): (q, C)."""
        found = {fold: np.zeros((self.rows.shape[1], part.shape[1]), self.rows.dtype) for fold, part in values.items()}
        for rows, places in self._parts(values):
            products = rows.T @ _beside([values[fold][place] for fold, place in places.items()])
            for fold, product in zip(places, _apart(products, [found[fold] for fold in places]), strict=True):
                found[fold] += product
        return found

    def _left_out(self, fold: int) -> int:
        return 0 if fold == EVERYTHING else int(self.bounds[fold + 1] - self.bounds[fold])

    def _parts(self, fits: Mapping[int, Floats]) -> Iterator[tuple[Floats, dict[int, slice]]]:
        """The rows of each fold, with the fits that keep them and their places among those that each keeps."""
        for fold, (start, stop) in enumerate(zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True)):
            places = {}
            for fit in fits:
                if fit != fold:
                    before = self._left_out(fit) if fit < fold else 0
                    places[fit] = slice(start - before, stop - before)
            if places:
                yield self.rows[start:stop], places


def _beside(parts: list[Floats]) -> Floats:
    """Matrices side by side."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _apart(whole: Floats, like: list[Floats]) -> list[Floats]:
    """The columns of a matrix as views as wide as others."""
    return np.split(whole, np.cumsum([part.shape[1] for part in like[:-1]]), axis=1)
