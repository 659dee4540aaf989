"""What a candidate's out-of-fold predictions are worth, item by item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.metrics import class_weights, item_losses, item_scores
from headstart.plan.candidates import Candidate
from headstart.plan.crossfit import OutOfFold, Problem


@dataclass(frozen=True, eq=False)
class Scored:
    """A candidate with what it said out of fold.

    Attributes:
        item_scores: (t,) primary score of each tested item, in the order of Problem.tested().
        loss: log loss (regression: root mean squared error) on the tested items; balanced where the problem is.
        folds: how many of the problem's folds it was trained for, the first ones: fewer than all where time was short.
    """

    candidate: Candidate
    out_of_fold: OutOfFold
    item_scores: NDArray[np.float64]
    loss: float
    folds: int

    @classmethod
    def of(cls, candidate: Candidate, out_of_fold: OutOfFold, problem: Problem) -> Scored:
        """Score what a candidate said of the items that the problem tests."""
        tested = problem.tested()
        target, probabilities = problem.target.take(tested), out_of_fold.probabilities[tested]
        balanced = problem.weights is not None
        weights = class_weights(target) if balanced else None
        losses = item_losses(target, probabilities)
        numbers = target.task == "regression"
        loss = losses["squared"].mean() ** 0.5 if numbers else np.average(losses["log_loss"], weights=weights)
        scores = item_scores(target, probabilities, balanced=balanced)
        return cls(candidate, out_of_fold, scores, float(loss), len(problem.folds))

    @property
    def mean(self) -> float:
        """The primary metric."""
        return float(self.item_scores.mean())
