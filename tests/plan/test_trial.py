"""A strategy through the folds: what each fold learned from, and what is kept."""

from __future__ import annotations

import time

import numpy as np
import pytest

from headstart.plan.trial import Trial


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_out_of_fold_scores_are_those_of_trainings_without_the_fold(make_case, task):
    case = make_case(task)
    candidate = case.tuned()
    found = candidate.crossfit(case.problem)
    learner = candidate.learner
    assert [(a.tolist(), b.tolist()) for a, b in learner.log] == [
        (fold.train.tolist(), fold.test.tolist()) for fold in case.problem.folds
    ]
    readings = learner.readings(case.job, 60)
    for fold in case.problem.folds:
        alone = learner.learn(case.job, fold.train, fold.test, readings)
        assert any(np.array_equal(found.scores[fold.test], scores) for scores in alone.scores)
    assert found.reading in readings
    assert found.reading.epoch == 4  # where the hidden features are whole
    assert found.notes == ("60 rows",)
    assert found.seconds > 0


def test_groups_and_time_are_those_of_the_folds(make_case):
    groups = np.arange(90) // 6
    case = make_case(groups=groups)
    candidate = case.tuned()
    candidate.crossfit(case.problem)
    assert all(not np.isin(groups[test], groups[train]).any() for train, test in candidate.learner.log)
    times = np.random.default_rng(1).permutation(90).astype(np.float64)
    case = make_case(times=times)
    candidate = case.tuned()
    found = candidate.crossfit(case.problem)
    assert all(times[train].max() < times[test].min() for train, test in candidate.learner.log)
    untested = np.setdiff1d(np.arange(90), case.problem.tested())
    assert len(untested)
    assert not found.scores[untested].any()


def test_one_split_in_time_is_enough(make_case):
    case = make_case(times=np.repeat([0.0, 1.0], 45))
    assert len(case.problem.folds) == 1
    found = case.tuned().crossfit(case.problem)
    assert np.allclose(found.probabilities[case.problem.tested()].sum(axis=1), 1)


def test_what_a_deadline_cut_short_is_not_kept(make_case):
    case = make_case()
    candidate = case.tuned(sleeps=0.05)
    trial = Trial(candidate.learner, case.job, case.problem)
    assert not trial.train(0, time.perf_counter() + 0.01)
    assert not trial.learned
    assert trial.train(0, time.perf_counter() + 5)
    assert [len(part.test) for part in trial.part.folds] == [len(case.problem.folds[0].test)]
    assert len(trial.seconds) == 2


def test_weights_of_folds_are_let_go(make_case):
    case = make_case()
    candidate = case.tuned()
    trial = Trial(candidate.learner, case.job, case.problem)
    trial.train(0)
    assert not trial.learned[0].moved.weights
