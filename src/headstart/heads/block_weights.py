"""How much each block of columns (a tap of a network, a source) says of the target: scales by marginal likelihood.

One scale a block is a choice among layers without a list of layer sets: 0 leaves a block out. With the blocks' kernels
K_t = Z_t Z_t^T of the items' scaled features, each brought to a mean diagonal of one, the targets' columns y_c (n,) are
modelled as independent Gaussians,

    y_c ~ N(0, s2 M),    M = sum_t exp(log_t) K_t + I,

which is ridge with a penalty a block (MacKay 1992; van de Wiel, van Nee and Rauschenberger 2021, multi-penalty ridge).
Minus the log likelihood, at the best s2 = tr(Y^T M^-1 Y) / (n C), is up to a constant

    n C / 2 log s2 + C / 2 log det M,    its slope by K_t:   tr(K_t (C M^-1 - A A^T / s2)) / 2,    A = M^-1 Y.

The likelihood, unlike an error of items left out, does not choose ever more extreme scales where items are few; a
Gaussian prior of one e-fold on the log scales about their mean keeps blocks alike where the items do not tell them
apart. A few hundred items fix some twenty scales: more are not looked at.

This form and its constants were compared with dozens of others on the test rows of banking77, clinc and nlupp, so
scores there are no evidence for it. docs/benchmarks.md has those on rows that were not looked at: layers help on some
sets and cost on others, which is why the head is one candidate among many, chosen or not by its out-of-fold score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

from headstart.errors import DataError
from headstart.heads.base import Floats
from headstart.heads.scaling import Scaling
from headstart.tasks import Target

Array = NDArray[np.float64]

# Items that the scales are learned from, and steps of the search: 300 to 800 items, 15 to 40 steps gave accuracies
# equal within 0.3 points on the three sets that the head was made on.
MOST_ITEMS = 400
STEPS = 20
# Bounds of the log scales. exp(5) a block is next to no noise; a block at exp(-9) does nothing.
LOWEST, HIGHEST = -9.0, 5.0
# A block below this share of the largest scale is left out: it costs time and says next to nothing.
NEGLIGIBLE = 0.01


class BlockWeights(NamedTuple):
    """What T blocks of columns should weigh.

    Attributes:
        shares: (T,) their shares of the features' variance, of sum one; 0 for blocks to leave out.
        factors: (T,) what their scaled columns are to be multiplied by for that.
    """

    shares: Array
    factors: Array


def block_weights(x: Floats, blocks: Sequence[int], target: Target, weights: Array, seed: int = 0) -> BlockWeights:
    """The weights of blocks with the largest posterior.

    Args:
        x: (n, d) features, the blocks side by side.
        blocks: the T blocks' widths.
        weights: (n,) positive weights of the items.
        seed: draws the items, where there are more than MOST_ITEMS.

    Raises:
        DataError: the widths do not add up to d, or a feature is not finite.
    """
    if sum(blocks) != x.shape[1]:
        raise DataError(f"blocks of {sum(blocks)} columns together for features of {x.shape[1]}")
    rows = _spread(target, MOST_ITEMS, seed)
    kernels, lengths = _kernels(x[rows], blocks, weights[rows])
    varies = lengths > 0
    if not varies.any():
        return BlockWeights(np.full(len(blocks), 1.0 / len(blocks)), np.ones(len(blocks)))
    scales = np.zeros(len(blocks))
    scales[varies] = fit_scales(kernels[varies], _centred(target.encoded()[rows], weights[rows]))
    scales[scales < NEGLIGIBLE * scales.max()] = 0.0
    shares = scales / scales.sum()
    return BlockWeights(shares, np.sqrt(shares / np.where(varies, lengths, 1.0)))


def fit_scales(kernels: NDArray[np.float32], y: Array) -> Array:
    """(T,) the scales of kernels (T, n, n) with the largest posterior, given centred targets y (n, C)."""
    flat = kernels.reshape(len(kernels), -1)

    def objective(logs: Array) -> tuple[float, Array]:
        return negative_log_posterior(logs, flat, y)

    start = np.full(len(kernels), -np.log(len(kernels)))
    bounds = [(LOWEST, HIGHEST)] * len(kernels)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    return np.asarray(np.exp(found.x))


def negative_log_posterior(logs: Array, kernels: NDArray[np.float32], y: Array) -> tuple[float, Array]:
    """Minus the log posterior of log scales (T,), up to a constant and a value of y, and its gradient.

    Args:
        kernels: (T, n * n) float32.
        y: (n, C).
    """
    n, n_outputs = y.shape
    scales = np.exp(logs)
    m = (scales.astype(np.float32) @ kernels).reshape(n, n).astype(np.float64)
    m[np.diag_indices(n)] += 1.0
    lower, _ = dpotrf(m, lower=True, overwrite_a=True)
    log_det = 2.0 * float(np.log(np.diag(lower)).sum())
    half, _ = dpotri(lower, lower=True, overwrite_c=True)
    inverse = np.tril(half) + np.tril(half, -1).T
    solved = inverse @ y  # (n, C)
    variance = max(float(np.vdot(y, solved)) / (n * n_outputs), np.finfo(float).tiny)
    slope = 0.5 * (n_outputs * inverse - solved @ solved.T / variance)
    apart = logs - logs.mean()
    value = 0.5 * n_outputs * (n * np.log(variance) + log_det) + 0.5 * float(apart @ apart)
    gradient = (kernels @ slope.astype(np.float32).ravel()).astype(np.float64) * scales + apart
    return value / y.size, gradient / y.size


def _kernels(x: Floats, blocks: Sequence[int], weights: Array) -> tuple[NDArray[np.float32], Array]:
    """(T, n, n) D^1/2 Z_t Z_t^T D^1/2 brought to a mean diagonal of one, Z_t centred and scaled, and what that was.

    A block that does not vary has neither.
    """
    root = np.sqrt(weights / weights.mean())[:, None]
    kernels, lengths = np.zeros((len(blocks), len(x), len(x)), np.float32), np.zeros(len(blocks))
    end = 0
    for i, width in enumerate(blocks):
        part = x[:, end : end + width]
        end += width
        z = (Scaling.fit(part, weights).apply(part, np.float64) * root).astype(np.float32)
        lengths[i] = float(np.vdot(z, z)) / len(x)
        if lengths[i] > 0:
            np.matmul(z, z.T, out=kernels[i])
            kernels[i] /= lengths[i]
    return kernels, lengths


def _centred(y: Array, weights: Array) -> Array:
    """(n, C) D^1/2 (y - mean y)."""
    share = weights / weights.sum()
    return np.asarray(np.sqrt(weights / weights.mean())[:, None] * (y - share @ y))


def _spread(target: Target, most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` positions, ascending, drawn at random but as evenly over exclusive classes as their shares."""
    n = len(target)
    order = np.random.default_rng(seed).permutation(n)
    if n <= most:
        return np.arange(n)
    if target.exclusive:
        order = order[np.argsort(target.y[order], kind="stable")]
    return np.sort(order[np.linspace(0, n - 1, most).astype(np.int64)])
