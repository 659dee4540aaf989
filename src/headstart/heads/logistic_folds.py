"""Fits of logistic regression that each leave a fold out, beside one another, along a path of penalties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.eigenbasis import Eigenbasis
from headstart.heads.folded_rows import FoldedRows
from headstart.heads.likelihood import Likelihood, log_loss, minimise_all
from headstart.heads.rows import present_classes
from headstart.tasks import Target

Array = NDArray[np.float64]

# The logit of a class without items; the others' logits sum to zero.
ABSENT = -20.0
# Folds whose outputs together are at most so many are fitted beside one another: of more, products with the rows take
# as long as their arithmetic does, and nothing is gained.
BESIDE = 64


@dataclass(frozen=True, eq=False)
class FoldFits:
    """Fits on subsets of the items in one eigenbasis; items are sorted by fold."""

    basis: Eigenbasis
    rows: FoldedRows
    target: Target
    weights: Array

    def choose(self, penalties: tuple[float, ...], tolerance: float) -> tuple[int, dict[int, Array], Array]:
        """The position of the best penalty, its folds' coefficients, and its out-of-fold scores (n, C)."""
        y = self.target.encoded()
        zeros = np.zeros((self.rows.rows.shape[1] + 1, y.shape[1]))
        kept = before = dict.fromkeys(range(len(self.rows.bounds) - 1), zeros)
        best, best_loss, found, found_scores = 0, np.inf, kept, np.zeros_like(y)
        for position, penalty in enumerate(penalties):
            scores = np.empty_like(y)
            # Along the logarithm of the penalty coefficients move steadily: each fit starts where the last step leads.
            starts = {fold: 2 * now - before[fold] for fold, now in kept.items()} if position > 1 else kept
            before = kept
            kept = self.fit(penalty, starts, tolerance)
            for fold, coefficients in kept.items():
                out = self.rows.out(fold)
                scores[out] = self.rows.rows[out] @ coefficients[:-1].astype(self.rows.rows.dtype)
                scores[out] += coefficients[-1]
            loss = float(self.weights @ log_loss(scores, y, self.target.exclusive))
            if loss < best_loss:
                best, best_loss, found, found_scores = position, loss, kept, scores
            else:
                break
        return best, found, found_scores

    def fit(self, penalty: float, starts: Mapping[int, Array], tolerance: float) -> dict[int, Array]:
        """By the fold that each fit leaves out, its (q + 1, C) coefficients; classes it lacks get the logit ABSENT."""
        folds, most = list(starts), max(1, BESIDE // self.target.n_outputs)
        found: dict[int, Array] = {}
        for first in range(0, len(folds), most):
            some = {fold: starts[fold] for fold in folds[first : first + most]}
            found |= self._beside(penalty, some, tolerance)
        return found

    def _beside(self, penalty: float, starts: Mapping[int, Array], tolerance: float) -> dict[int, Array]:
        """`fit` of some at once."""
        parts = {fold: self._part(fold, penalty) for fold in starts}
        begin = {fold: part.narrow(starts[fold]) for fold, part in parts.items()}
        likelihoods = {fold: part.likelihood for fold, part in parts.items()}
        values = self.basis.values[-self.rows.rows.shape[1] :]
        found = minimise_all(self.rows, values, likelihoods, begin, tolerance)
        return {fold: part.wide(found[fold]) for fold, part in parts.items()}

    def _part(self, fold: int, penalty: float) -> _Part:
        """What a fit without a fold learns from."""
        kept = self.rows.kept(fold)
        target, weights, dtype = self.target.take(kept), self.weights[kept], self.rows.rows.dtype
        present = present_classes(target, weights)
        pair = target.exclusive and present.sum() == 2
        even = 1.0 / max(2, present.sum()) if target.exclusive else 0.5
        absolute = penalty * self.basis.mean * even * (1 - even) / (2 if pair else 1)
        y = target.encoded()[:, np.flatnonzero(present)[-1:] if pair else present].astype(dtype)
        likelihood = Likelihood(y, weights.astype(dtype), target.exclusive and not pair, absolute)
        return _Part(likelihood, present, target.exclusive)


@dataclass(frozen=True, eq=False)
class _Part:
    """A fit's likelihood, in the coefficients of classes that its items have.

    Of two exclusive classes it is that of the second against the first: with B = (-v / 2, v / 2), which the minimum's
    coefficients are, penalty |B|^2 = penalty / 2 |v|^2, for half the work.
    """

    likelihood: Likelihood
    present: NDArray[np.bool_]
    exclusive: bool

    @property
    def _pair(self) -> bool:
        return self.exclusive and not self.likelihood.exclusive

    def narrow(self, coefficients: Array) -> Array:
        """(q + 1, C) for all classes -> the likelihood's own."""
        some = coefficients[:, self.present]
        return some[:, 1:] - some[:, :1] if self._pair else some

    def wide(self, coefficients: Array) -> Array:
        """The likelihood's own -> (q + 1, C) for all classes."""
        out = np.zeros((len(coefficients), len(self.present)))
        out[:, self.present] = coefficients * np.array([-0.5, 0.5]) if self._pair else coefficients
        if self.exclusive:
            out[-1, self.present] -= out[-1, self.present].mean()
            out[-1, ~self.present] = ABSENT
        return out
