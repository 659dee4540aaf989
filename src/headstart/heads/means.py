"""Shrunk class means on cosines: linear discriminant analysis with a ridge on the pooled within-class covariance.

    score_c(x) = log prior_c - tau / 2 (z - m_c)^T (S + penalty I)^-1 (z - m_c)

with z the features centred, each block (a tap of a source) at unit length, and S their within-class scatter. As the
penalty grows it becomes the nearest class mean, which is what one to five items a class can support. The penalty is
chosen downhill from the middle of a grid, and tau for each penalty, by exact leave-one-out log loss: without item i of
class c (weights w_i of W_c), and u = z_i - m_c,

    m_c - w_i u / (W_c - w_i)    and    S - w_i W_c / (W_c - w_i) u u^T,

so that one Sherman-Morrison step gives its distances. Groups take out a block (Woodbury).

Ridge on one-hot targets and this head part by a C x C matrix (see discriminant), which pays where classes are many:
on draws of ten items for each of 77 intents (MiniLM's last layer) 79 % are right by ridge, 82 % by class means of
standardised columns, 83 % by these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.heads.base import Floats, HeadState
from headstart.heads.cosines import all_unit_rows
from headstart.heads.discriminant import Discriminant
from headstart.heads.eigenbasis import floor_weights
from headstart.heads.likelihood import log_softmax
from headstart.heads.linear import FittedLinear, LinearMap
from headstart.heads.rows import check_training, chunks, present_classes, present_without
from headstart.heads.scaling import column_means
from headstart.heads.unit_linear import FittedUnitLinear
from headstart.tasks import Target, Task

Array = NDArray[np.float64]

# Relative to the mean eigenvalue of the total scatter.
PENALTIES: tuple[float, ...] = tuple(float(p) for p in np.logspace(-3, 3, 13))
# tau is sought between these shares of sum w, which is what a covariance S / sum w would make it.
TAU_RANGE = (1e-5, 10.0)
# Newton steps in log tau: at most so many, none larger than this; closer than this is there.
STEPS, LARGEST, CLOSE = 30, 1.5, 0.02
# Where the first search begins: tau times the mean distance to a class beyond the nearest.
GUESS = 4.0
# The score of a class without items, beside log priors.
ABSENT = -20.0


@dataclass(frozen=True)
class ShrunkMeans:
    """Shrunk class means for exclusive classes. Scores are log posteriors up to a term common to the classes.

    Attributes:
        blocks: the widths of the blocks, in column order; empty where all columns are one block.
        penalties: the grid, relative to the mean eigenvalue of the total scatter.
        priors: the classes' shares of the training weight, or uniform.
    """

    blocks: tuple[int, ...] = ()
    penalties: tuple[float, ...] = PENALTIES
    priors: Literal["data", "uniform"] = "data"

    def of_blocks(self, blocks: tuple[int, ...]) -> ShrunkMeans:
        """This head for features of these blocks."""
        return replace(self, blocks=blocks)

    def supports(self, task: Task) -> bool:
        """True for exclusive classes."""
        return task in ("binary", "multiclass")

    def fit(
        self,
        x: Floats,
        target: Target,
        *,
        weights: NDArray[np.float64] | None = None,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> FittedUnitLinear:
        """Fit on x (n, d) at a penalty chosen by left-out log loss; deterministic, `seed` changes nothing.

        Raises:
            DataError: labels or numbers as target, shapes that do not match, blocks that do not add up to d, features
                that are not finite, fewer than two items or groups.
        """
        if not self.supports(target.task):
            raise DataError(f"class means are for exclusive classes, got a {target.task} target: use ridge")
        given = check_training(x, target, weights, groups)
        present = present_classes(target, given)
        blocks = self.blocks or (x.shape[1],)
        center = column_means(x, given)
        model = Discriminant.of(all_unit_rows(x, center, blocks, x.dtype), target, floor_weights(given), present)
        there = present_without(target, given, groups)
        log_priors = self._log_priors(model.weights_without(groups), there)
        penalty, tau, distances = self._choose(model, target, given, log_priors, there, groups)
        weight, offset = model.linear(penalty * model.mean)
        # A class without items is as far as the farthest mean is from the centre, and has next to no prior.
        bias = tau * np.where(present, offset, offset.min()) + self._log_priors(model.class_weights, present)
        fitted = LinearMap.fold(tau * weight, bias, model.scaling)
        sizes = [int(width) for width in blocks]
        settings = {"blocks": sizes, "penalty": penalty, "tau": tau, "priors": self.priors}
        return FittedUnitLinear("means", center, fitted, settings, log_softmax(log_priors - 0.5 * tau * distances))

    def restore(self, state: HeadState) -> FittedUnitLinear | FittedLinear:
        """The fitted head from its state; files of before unit rows have a map of the features as they come.

        Raises:
            ArtefactError: something is missing, or the shapes do not fit together.
        """
        if "center" not in state.arrays and "blocks" not in state.settings:
            return FittedLinear.restore(state)
        return FittedUnitLinear.restore(state)

    def _choose(
        self,
        model: Discriminant,
        target: Target,
        weights: Array,
        log_priors: Array,
        there: NDArray[np.bool_],
        groups: NDArray[np.int64] | None,
    ) -> tuple[float, float, Array]:
        """A penalty, its tau, and its left-out distances (n, C), by the left-out log loss.

        Downhill from the middle of the grid, first over every second penalty, then to the best one's neighbours: half
        of the grid is looked at. Of two minima (seen on one of nine sets) it is the one downhill from there.
        """
        grid = sorted(self.penalties, reverse=True)
        leverages = model.leverages(np.array(grid) * model.mean)
        codes = target.y.astype(np.int64)
        losses: dict[int, float] = {}
        best, best_tau, nearest, guess = -1, 0.0, np.zeros((0, 0)), GUESS
        for stride in (2, 1):
            positions = [len(grid) // 2] if best < 0 else [best - stride, best + stride]
            while positions := [p for p in positions if 0 <= p < len(grid) and p not in losses]:
                for position in positions:
                    found = model.left_out(grid[position] * model.mean, leverages[:, position], groups)
                    found = _beyond_nearest(found, there)
                    losses[position], tau, guess = _best_tau(found, log_priors, codes, weights, guess)
                    if best < 0 or losses[position] < losses[best]:
                        best, best_tau, nearest = position, tau, found
                positions = [best - stride, best + stride]
        return grid[best], best_tau, nearest

    def _log_priors(self, weights: Array, present: NDArray[np.bool_]) -> Array:
        """Log priors of class weights (..., C); ABSENT for classes that have no items."""
        weights = np.where(present, weights if self.priors == "data" else 1.0, 0.0)
        share = weights / np.maximum(weights.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
        return np.where(share > 0, np.log(np.where(share > 0, share, 1.0)), ABSENT)


def _beyond_nearest(distances: Array, there: NDArray[np.bool_]) -> Array:
    """Squared distances (n, C), in place: less those to the nearest class that has items; 0 for such as have none."""
    for rows in chunks(len(distances), 16 * distances.shape[1]):
        nearest = np.where(there[rows], distances[rows], np.inf).min(axis=1, keepdims=True)
        distances[rows] -= nearest
        distances[rows][~there[rows]] = 0.0
    return distances


def _best_tau(
    distances: Array, log_priors: Array, codes: NDArray[np.int64], weights: Array, guess: float
) -> tuple[float, float, float]:
    """The least weighted log loss over tau, that tau, and it times the mean distance, by Newton steps in log tau.

    One more item, of unknown class, is imagined to be spread over the classes: where all items are right, tau stays
    finite and the probabilities as modest as so few items allow. The loss is convex in tau. Sums over classes are
    float32, of distances in shares of their mean: tau is sought to a hundredth.

    Args:
        distances, log_priors: (n, C).
        codes: (n,) the classes.
        guess: where to begin, as tau times the mean distance.
    """
    n, classes = distances.shape
    total, share = float(weights.sum()), 1.0 / (n + 1.0)
    truth, prior = (
        float(weights @ ((1.0 - share) * of[np.arange(n), codes] + share * of.mean(axis=1)))
        for of in (distances, log_priors)
    )
    scale = float(weights @ distances.mean(axis=1)) / total
    low, high = np.log(TAU_RANGE[0] * total), np.log(TAU_RANGE[1] * total)
    at = float(np.clip(np.log(guess / scale) if scale > 0 else low, low, high))
    unit = scale if scale > 0 else 1.0
    relative, priors = (distances / unit).astype(np.float32), log_priors.astype(np.float32)
    for _ in range(STEPS):
        tau = float(np.exp(at))
        normalisers = means = variances = 0.0
        for rows in chunks(n, 16 * classes):
            scores = relative[rows] * np.float32(-0.5 * tau * unit)
            scores += priors[rows]
            top = scores.max(axis=1, keepdims=True)
            scores -= top
            np.exp(scores, out=scores)
            sums = scores.sum(axis=1)
            normalisers += float(weights[rows] @ (np.log(sums) + top[:, 0]))
            scores *= relative[rows]  # p D, but for `sums`
            mean = scores.sum(axis=1) / sums
            square = np.einsum("nc,nc->n", scores, relative[rows]) / sums
            means += unit * float(weights[rows] @ mean)
            variances += unit**2 * float(weights[rows] @ np.maximum(square - mean**2, 0.0))
        loss = normalisers - prior + 0.5 * tau * truth
        slope = 0.5 * tau * (truth - means)
        curve = 0.25 * tau**2 * variances + slope
        step = np.clip(-slope / curve if curve > 0 else -np.sign(slope), -LARGEST, LARGEST)
        before, at = at, float(np.clip(at + step, low, high))
        if abs(at - before) < CLOSE:
            break
    return loss / total, tau, tau * scale if scale > 0 else guess
