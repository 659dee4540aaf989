"""Every metric against scikit-learn; the awkward cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.errors import DataError
from headstart.evidence import PRIMARY, confusion, item_scores, score, with_intervals
from headstart.evidence.metric_intervals import balanced_interval
from headstart.evidence.metrics import BINS, class_weights, item_losses
from headstart.tasks import TASKS, Target


def test_multiclass_equals_scikit_learn(draw):
    target, p = draw("multiclass")
    guess = p.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(target.y, guess),
        "balanced_accuracy": reference.balanced_accuracy_score(target.y, guess),
        "macro_f1": reference.f1_score(target.y, guess, average="macro"),
        "auc": reference.roc_auc_score(target.y, p, multi_class="ovr"),
        "log_loss": reference.log_loss(target.y, p),
        "brier": float(((p - np.eye(5)[target.y]) ** 2).sum(axis=1).mean()),
    }
    got = score(target, p)
    assert got.keys() == expected.keys() | {"ece"}
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_binary_equals_scikit_learn_with_tied_scores(draw):
    target, p = draw("binary")
    p = np.round(p, 1)
    got = score(target, p)
    assert got["auc"] == pytest.approx(reference.roc_auc_score(target.y, p[:, 1]), abs=1e-12)
    assert got["brier"] == pytest.approx(reference.brier_score_loss(target.y, p[:, 1]), abs=1e-12)
    assert got["macro_f1"] == pytest.approx(reference.f1_score(target.y, p.argmax(axis=1), average="macro"), abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 12])
def test_multilabel_equals_scikit_learn(draw, decimals):
    target, p = draw("multilabel")
    p = np.round(p, decimals)
    guess = (p >= 0.5).astype(int)
    got = score(target, p)
    expected = {
        "accuracy": reference.accuracy_score(target.y, guess),
        "micro_f1": reference.f1_score(target.y, guess, average="micro"),
        "macro_f1": reference.f1_score(target.y, guess, average="macro"),
        "samples_f1": reference.f1_score(target.y, guess, average="samples", zero_division=1.0),
        "auc": reference.roc_auc_score(target.y, p, average="macro"),
        "map": reference.average_precision_score(target.y, p, average="macro"),
        "log_loss": np.mean([reference.log_loss(target.y[:, c], p[:, c]) for c in range(4)]),
        "brier": np.mean((target.y - p) ** 2),
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert got.keys() == expected.keys() | {"ece"}


def test_regression_equals_scikit_learn(draw):
    target, p = draw("regression")
    expected = {
        "r2": reference.r2_score(target.y, p[:, 0]),
        "mae": reference.mean_absolute_error(target.y, p[:, 0]),
        "rmse": reference.root_mean_squared_error(target.y, p[:, 0]),
    }
    assert score(target, p) == pytest.approx(expected, abs=1e-12)


def test_a_class_that_never_occurs_and_one_that_is_never_predicted():
    target = Target("multiclass", np.array([0, 0, 1, 1, 2, 2]), ("a", "b", "c", "d"))
    p = np.eye(4)[[0, 0, 1, 0, 1, 0]] * 0.7 + 0.075  # c is never predicted, d neither true nor predicted
    guess = p.argmax(axis=1)
    got = score(target, p)
    assert got["macro_f1"] == pytest.approx(reference.f1_score(target.y, guess, average="macro", zero_division=0.0))
    assert got["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(target.y, guess))
    one_by_one = [reference.roc_auc_score(target.y == c, p[:, c]) for c in range(3)]
    assert got["auc"] == pytest.approx(np.mean(one_by_one))


def test_one_class_only_has_no_auc():
    got = score(Target("binary", np.ones(5, np.int64), ("no", "yes")), np.tile([0.2, 0.8], (5, 1)))
    assert math.isnan(got["auc"])
    assert got["balanced_accuracy"] == 1.0


def test_labels_without_positives():
    target = Target("multilabel", np.zeros((4, 2), np.uint8), ("a", "b"))
    got = score(target, np.full((4, 2), 0.1))
    assert got["samples_f1"] == got["accuracy"] == 1.0
    assert all(math.isnan(got[name]) for name in ("auc", "map", "macro_f1", "micro_f1"))


@pytest.mark.parametrize("value", [3.0, 0.1])
def test_constant_numbers_have_no_r2(value):
    target = Target("regression", np.full(7, value), ("v",))
    assert math.isnan(score(target, np.zeros((7, 1)))["r2"])
    assert item_scores(target, np.zeros((7, 1))) == pytest.approx(np.full(7, -(value**2)))


def test_certain_and_wrong_has_a_finite_log_loss():
    got = score(Target("binary", np.array([0, 1]), ("no", "yes")), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert got["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps) / 2)


def test_ece_by_hand_over_bins_of_equal_mass(draw):
    target, p = draw("multiclass", n=BINS * 20)
    order = np.argsort(p.max(axis=1)).reshape(BINS, 20)
    right = p.argmax(axis=1) == target.y
    expected = np.mean([abs(p.max(axis=1)[rows].mean() - right[rows].mean()) for rows in order])
    assert score(target, p)["ece"] == pytest.approx(expected, abs=1e-12)


def test_ece_of_one_tied_confidence_is_one_gap():
    target = Target("binary", np.array([1, 1, 1, 0]), ("no", "yes"))
    assert score(target, np.tile([0.1, 0.9], (4, 1)))["ece"] == pytest.approx(0.9 - 0.75)


@pytest.mark.parametrize("task", TASKS)
def test_the_mean_item_score_is_the_primary_metric(draw, task):
    target, p = draw(task)
    assert item_scores(target, p).mean() == pytest.approx(score(target, p)[PRIMARY[task]], abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_items_does_not_matter(draw, task):
    target, p = draw(task, seed=3)
    p = np.round(p, 1)  # ties
    order = np.random.default_rng(0).permutation(len(target))
    assert score(target.take(order), p[order]) == pytest.approx(score(target, p), abs=1e-12)


def test_confusion_equals_scikit_learn(draw):
    target, p = draw("multiclass")
    assert (confusion(target, p) == reference.confusion_matrix(target.y, p.argmax(axis=1), labels=range(5))).all()
    with pytest.raises(DataError, match="multilabel target, expected exclusive"):
        confusion(*draw("multilabel"))


@pytest.mark.parametrize(
    ("n", "p", "message"),
    [
        (0, np.ones((0, 2)), "no items"),
        (2, np.ones((2, 3)), r"shape \(2, 3\), expected \(2, 2\)"),
        (2, np.array([[0.5, 0.5], [np.nan, 1.0]]), "not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(n, p, message):
    with pytest.raises(DataError, match=message):
        score(Target("binary", np.zeros(n, np.int64), ("no", "yes")), p)


def test_balanced_scores_and_loss_are_means_over_classes(draw):
    target, p = draw("multiclass", n=300)
    losses = item_losses(target, p)["log_loss"]
    by_class = [losses[target.y == k].mean() for k in range(5)]
    assert item_scores(target, p, balanced=True).mean() == pytest.approx(score(target, p)["balanced_accuracy"])
    found = with_intervals(target, p, balanced=True)
    assert found["balanced_log_loss"].value == pytest.approx(np.mean(by_class))
    assert found["balanced_log_loss"].low < np.mean(by_class) < found["balanced_log_loss"].high
    assert list(found)[:-1] == list(with_intervals(target, p))
    assert balanced_interval(target, p) == found["balanced_accuracy"]


def test_class_weights_leave_out_classes_that_do_not_occur():
    weights = class_weights(Target("multiclass", np.array([0, 0, 0, 2]), ("a", "b", "c")))
    assert weights == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
