"""A small part of a problem: its first fold, with few labels to learn from and few items to test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.data.splits import Fold, holdout
from headstart.plan.crossfit import Problem
from headstart.plan.views import Rows

ITEMS = 512
# A subset that saves less than this is not worth the training.
_WORTH = 3


def subset(problem: Problem) -> Problem | None:
    """The first fold on about ITEMS training and as many test items, stratified; None where that saves little."""
    fold = problem.folds[0]
    if len(fold.train) < _WORTH * ITEMS:
        return None
    return replace(problem, folds=[Fold(_few(problem, fold.train), _few(problem, fold.test))])


def _few(problem: Problem, rows: Rows) -> Rows:
    if len(rows) <= ITEMS:
        return rows
    return np.sort(rows[holdout(problem.target.take(rows), ITEMS / len(rows), seed=problem.seed).test])
