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
        item_losses: (t,) log losses, or squared errors: `loss` is their mean, or its root.
    """

    candidate: Candidate
    out_of_fold: OutOfFold
    item_scores: NDArray[np.float64]
    loss: float
    folds: int
    item_losses: NDArray[np.float64]

    @classmethod
    def of(cls, candidate: Candidate, out_of_fold: OutOfFold, problem: Problem) -> Scored:
        """Score what a candidate said of the items that the problem tests."""
        tested = problem.tested()
        target, probabilities = problem.target.take(tested), out_of_fold.probabilities[tested]
        balanced = problem.weights is not None
        scores = item_scores(target, probabilities, balanced=balanced)
        losses = item_losses(target, probabilities)
        if target.task == "regression":
            lost, loss = losses["squared"], losses["squared"].mean() ** 0.5
        else:
            lost = losses["log_loss"] * (class_weights(target) if balanced else 1.0)
            loss = lost.mean()
        return cls(candidate, out_of_fold, scores, float(loss), len(problem.folds), lost)

    @property
    def mean(self) -> float:
        """The primary metric."""
        return float(self.item_scores.mean())
