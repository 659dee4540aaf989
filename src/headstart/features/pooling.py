"""The windows of one sound become one row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.sources.base import Tap


def pool(rows: NDArray[np.float32], taps: Sequence[Tap]) -> NDArray[np.float32]:
    """(D,) of (w, D) rows of w windows of equal length, D columns being those of `taps` side by side.

    Means are averaged, maxima compared, "first" is the first window's. Standard deviations follow the law of total
    variance, with the means m_w of the same depth: s^2 = E[s_w^2 + m_w^2] - E[m_w]^2.
    """
    if len(rows) == 1:
        return np.asarray(rows[0])
    exact = rows.astype(np.float64)
    ends = np.cumsum([tap.width for tap in taps])
    columns = {tap: slice(end - tap.width, end) for tap, end in zip(taps, ends.tolist(), strict=True)}
    means = {tap.depth: exact[:, columns[tap]] for tap in taps if tap.pooling == "mean"}
    pooled = [_pool(exact[:, columns[tap]], tap, means.get(tap.depth)) for tap in taps]
    return np.concatenate(pooled).astype(np.float32)


def _pool(values: NDArray[np.float64], tap: Tap, means: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if tap.pooling == "first":
        return np.asarray(values[0])
    if tap.pooling == "max":
        return np.asarray(values.max(axis=0))
    if tap.pooling == "mean":
        return np.asarray(values.mean(axis=0))
    within = np.square(values).mean(axis=0)
    between = 0.0 if means is None or means.shape != values.shape else means.var(axis=0)
    return np.asarray(np.sqrt(within + between))
