"""Readings and temperatures are chosen by the other folds, as brute force chooses them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from headstart.adapt.base import Reading
from headstart.data.splits import Fold, folds
from headstart.evidence.calibration import Calibration
from headstart.plan.readings import fold_losses, read_off
from headstart.tasks import Target

from .conftest import as_target

READINGS = (Reading(1), Reading(2), Reading(2, 0.5), Reading(4))


def told(task: str, n: int = 90, seed: int = 0) -> tuple[Target, list[Fold], dict[int, list[np.ndarray]]]:
    """Made-up scores of three folds at four readings, better or worse by chance."""
    rng = np.random.default_rng(seed)
    target = as_target(task, np.arange(n) % 3)
    splits = folds(target, k=3, seed=1)
    truth = target.encoded()
    told = {
        k: [truth[fold.test] * rng.uniform(0, 3) + rng.normal(size=truth[fold.test].shape) for _ in READINGS]
        for k, fold in enumerate(splits)
    }
    return target, splits, told


def brute_force(target: Target, splits: list[Fold], given: dict[int, list[np.ndarray]], by: list[int]) -> int:
    """The reading with the least loss on the folds `by`, at the best of many temperatures."""
    losses = []
    for r in range(len(READINGS)):
        scores = np.concatenate([given[k][r] for k in by])
        y = target.take(np.concatenate([splits[k].test for k in by]))
        slopes = 2.0 ** np.arange(-4, 2.5, 0.5)
        losses.append(min(-log_softmax(s * scores, axis=1)[np.arange(len(y)), y.y].sum() for s in slopes))
    return int(np.argmin(losses))


@pytest.mark.parametrize("seed", range(5))
def test_each_fold_is_read_where_the_others_have_the_least_loss(seed):
    target, splits, given = told("multiclass", seed=seed)
    off = read_off(target, splits, given, READINGS)
    for k, fold in enumerate(splits):
        others = [j for j in range(3) if j != k]
        chosen = brute_force(target, splits, given, others)
        assert np.array_equal(off.scores[fold.test], given[k][chosen])
        rows = np.concatenate([splits[j].test for j in others])
        temperature = Calibration.fit(
            "multiclass", np.concatenate([given[j][chosen] for j in others]), target.take(rows)
        )
        assert np.allclose(off.probabilities[fold.test], temperature.probabilities(given[k][chosen]))
    assert off.reading == READINGS[brute_force(target, splits, given, [0, 1, 2])]


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_no_label_of_a_fold_chooses_what_it_is_scored_with(task):
    target, splits, given = told(task)
    before = read_off(target, splits, given, READINGS)
    for fold in splits:
        y = np.array(target.y)
        y[fold.test] = np.roll(y[fold.test], 7, axis=0)
        after = read_off(Target(target.task, y, target.classes), splits, given, READINGS)
        assert np.array_equal(before.scores[fold.test], after.scores[fold.test])
        assert np.array_equal(before.probabilities[fold.test], after.probabilities[fold.test])


def test_the_losses_are_those_of_scikit_learn():
    target, splits, given = told("multiclass")
    fold = splits[0]
    loss = fold_losses(target, fold.test, given[0])[1, 8]  # the slope 1
    p = np.exp(log_softmax(given[0][1], axis=1))
    assert np.isclose(loss / len(fold.test), log_loss(target.y[fold.test], p, labels=[0, 1, 2]))
    target, splits, given = told("multilabel")
    loss = fold_losses(target, splits[0].test, given[0])[1, 8]
    p = 1 / (1 + np.exp(-given[0][1]))
    truth = target.y[splits[0].test]
    assert np.isclose(loss, sum(log_loss(truth[:, c], p[:, c], labels=[0, 1], normalize=False) for c in range(2)))


def test_of_equal_readings_the_cheapest_is_taken():
    target, splits, given = told("multiclass")
    same = {k: [scores[0]] * 4 for k, scores in given.items()}
    assert read_off(target, splits, same, READINGS).reading == READINGS[0]


def test_one_fold_alone_is_read_at_its_best():
    target, splits, given = told("multiclass")
    off = read_off(target, splits, {1: given[1]}, READINGS)
    assert off.reading == READINGS[brute_force(target, splits, given, [1])]
    test = splits[1].test
    assert np.allclose(off.probabilities[test].sum(axis=1), 1)
    assert np.array_equal(off.probabilities[test].argmax(axis=1), off.scores[test].argmax(axis=1))
    assert not off.scores[splits[0].test].any()


def test_weights_weigh_the_losses_and_the_temperature():
    target, splits, given = told("multiclass")
    test, weights = splits[0].test, np.random.default_rng(0).random(len(target))
    loss = fold_losses(target, test, given[0], weights)[1, 8]
    p = np.exp(log_softmax(given[0][1], axis=1))
    expected = log_loss(target.y[test], p, labels=[0, 1, 2], sample_weight=weights[test]) * weights[test].sum()
    assert np.isclose(loss, expected)
    off = read_off(target, splits, {k: scores[:1] for k, scores in given.items()}, READINGS[:1], weights)
    assert off.calibration == Calibration.fit("multiclass", off.scores, target, weights)
