"""What a table's row shows: its numbers, made comparable, with what is missing filled in and marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ArtefactError, DataError

FARTHEST = 1e6  # standard deviations from the mean: what lies farther would leave float32 and drown all else

_ARRAYS = ("medians", "means", "scales")


@dataclass(frozen=True, eq=False)
class RowScaler:
    """Median imputation, standardisation, then a column of 0 and 1 for each column that had gaps in training.

    Attributes:
        medians, means, scales: (d,) float64 of the training rows: medians of what is there (0 where nothing is), and
            mean and standard deviation after imputation (1 where a column is constant).
        gappy: positions of the columns with missing cells in training, ascending.
    """

    medians: NDArray[np.float64]
    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    gappy: NDArray[np.int64]

    @classmethod
    def fit(cls, x: NDArray[np.float64]) -> RowScaler:
        """Learn from x (n, d), n > 0. NaN and infinite cells are missing."""
        missing = ~np.isfinite(x)
        medians = np.array(
            [np.median(c[~gap]) if not gap.all() else 0.0 for c, gap in zip(x.T, missing.T, strict=True)]
        )
        filled = np.where(missing, medians, x)
        size = np.maximum(np.abs(filled).max(axis=0), np.finfo(np.float64).tiny)
        parts = filled / size  # sums and squares of 1e300 would overflow
        means, spread = parts.mean(axis=0) * size, parts.std(axis=0) * size
        # Rounding leaves a trace of spread on a constant column of large numbers.
        constant = spread <= 1e-12 * np.abs(means)
        return cls(medians, means, np.where(constant, 1.0, spread), np.flatnonzero(missing.any(axis=0)))

    def transform(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d + len(gappy)) float64 without NaN.

        Raises:
            DataError: x has another number of columns than in training.
        """
        if x.ndim != 2 or x.shape[1] != len(self.medians):
            raise DataError(f"rows are {x.shape}; expected (n, {len(self.medians)}), the columns of training")
        missing = ~np.isfinite(x)
        filled = np.where(missing, self.medians, x)
        with np.errstate(over="ignore"):
            standard = np.clip((filled - self.means) / self.scales, -FARTHEST, FARTHEST)
        return np.concatenate([standard, missing[:, self.gappy]], axis=1)

    def names(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The names of the columns of `transform`, from the d names of the table's."""
        return (*columns, *(f"{columns[i]} missing" for i in self.gappy))

    def state(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """Inert data: the arrays, and the gappy columns for JSON."""
        return {name: getattr(self, name) for name in _ARRAYS}, {"gappy": self.gappy.tolist()}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> RowScaler:
        """The scaler of a `state`.

        Raises:
            ArtefactError: the arrays do not belong together.
        """
        medians, means, scales = (np.asarray(arrays.get(name, ()), np.float64) for name in _ARRAYS)
        gappy = np.asarray(settings.get("gappy", []), np.int64)
        fits = medians.ndim == 1 and medians.shape == means.shape == scales.shape and gappy.ndim == 1
        if not fits or not np.isin(gappy, np.arange(len(medians))).all():
            raise ArtefactError(f"a table's medians {medians.shape} and scales do not match; the artefact is damaged")
        return cls(medians, means, scales, gappy)
