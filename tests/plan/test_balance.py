"""Where every class is to count the same, it does so in the choice, the verdict, the estimate and the calibration."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from headstart import registry
from headstart.data.splits import folds
from headstart.estimators import ArrayView
from headstart.evidence import Calibration, score
from headstart.evidence.metrics import class_weights
from headstart.plan.crossfit import OutOfFold, Problem, crossfit, fit_all
from headstart.plan.decision import decide
from headstart.plan.scored import Scored
from headstart.tasks import Target

Y = np.repeat([0, 1], [180, 20])


def rare(*, balanced: bool) -> Problem:
    target = Target("binary", Y, ("common", "rare"))
    return Problem(target, folds(target, k=5, seed=0), None, class_weights(target) if balanced else None, 0)


def said(problem: Problem, name: str, right: np.ndarray, *, transfer: bool) -> Scored:
    """A candidate that gives the true class .8 where it is right, else .2."""
    true = np.where(right, 0.8, 0.2)
    p = np.stack([np.where(Y == 0, true, 1 - true), np.where(Y == 1, true, 1 - true)], axis=1)
    candidate = SimpleNamespace(words=name, transfer=transfer, moves=False, cost=1.0, effort=0.0)
    return Scored.of(candidate, OutOfFold(p, p, 0.0), problem)  # type: ignore[arg-type]


def common_only(problem: Problem, *, transfer: bool) -> Scored:
    """Accuracy .9, balanced .5."""
    return said(problem, "common only", Y == 0, transfer=transfer)


def both(problem: Problem, *, transfer: bool) -> Scored:
    """Accuracy .8, balanced .85."""
    right = np.ones(200, bool)
    right[:38], right[180:182] = False, False
    return said(problem, "both", right, transfer=transfer)


@pytest.mark.parametrize("balanced", [False, True])
def test_accuracy_and_balanced_accuracy_choose_otherwise(balanced):
    problem = rare(balanced=balanced)
    one, other = common_only(problem, transfer=True), both(problem, transfer=True)
    plain = said(problem, "plain", np.arange(200) % 2 == 0, transfer=False)
    decision = decide([one, other], [plain], problem)
    assert decision.chosen is (other if balanced else one)
    tested = problem.tested()
    metrics = score(problem.target.take(tested), decision.chosen.out_of_fold.probabilities[tested])
    assert decision.estimate.naive == pytest.approx(metrics["balanced_accuracy" if balanced else "accuracy"])
    assert 0 <= decision.estimate.low <= decision.estimate.value <= decision.estimate.high <= 1
    assert ("points of balanced accuracy" in decision.verdict.text) == balanced


@pytest.mark.parametrize("balanced", [False, True])
def test_the_verdict_counts_classes(balanced):
    problem = rare(balanced=balanced)
    ours, theirs = both(problem, transfer=True), common_only(problem, transfer=False)
    gain = decide([ours], [theirs], problem).verdict.gain
    assert gain.value == pytest.approx(0.845 - 0.5 if balanced else 0.8 - 0.9, abs=0.006)
    assert gain.low > 0 if balanced else gain.high < 0


def test_the_loss_counts_classes():
    problem = rare(balanced=True)
    rates = [np.log(0.8), np.log(0.2)]
    assert common_only(problem, transfer=True).loss == pytest.approx(-np.mean(rates))


def test_two_that_agree_are_not_proven_to_be_one():
    problem = rare(balanced=True)
    ours, theirs = both(problem, transfer=True), both(problem, transfer=False)
    gain = decide([ours], [theirs], problem).verdict.gain
    assert gain.low < -0.02
    assert gain.high > 0.02


def test_a_perfect_balanced_score_stays_below_one_and_is_not_certain():
    problem = rare(balanced=True)
    decision = decide([said(problem, "all", np.ones(200, bool), transfer=True)], [], problem)
    assert decision.estimate.value == pytest.approx(1)
    assert decision.estimate.low < 0.97
    assert decision.estimate.high <= 1


@pytest.mark.parametrize("name", ["ridge", "boosted-trees"])
def test_calibration_is_given_the_weights(name):
    """Both of the folds and of the model that ships."""
    rng = np.random.default_rng(0)
    view, head = ArrayView(rng.normal(size=(200, 4)) + 1.2 * Y[:, None]), registry.get("headstart.heads", name)
    problem = rare(balanced=True)
    found = crossfit(view, head, problem)
    fitted = fit_all(view, head, problem, found)
    fold = problem.folds[0]
    if name == "ridge":
        weights = problem.weights_of(fold.train)
        alone = head.fit(view.matrix(fold.train), problem.target.take(fold.train), weights=weights, seed=0)
        own = Calibration.fit("binary", alone.loo_scores, problem.target.take(fold.train), weights)
        whole = Calibration.fit("binary", fitted.head.loo_scores, problem.target, problem.weights)
    else:
        rest = fold.train
        own = Calibration.fit("binary", found.scores[rest], problem.target.take(rest), problem.weights_of(rest))
        whole = Calibration.fit("binary", found.scores, problem.target, problem.weights)
    assert found.probabilities[fold.test] == pytest.approx(own.probabilities(found.scores[fold.test]))
    assert fitted.calibration == whole
