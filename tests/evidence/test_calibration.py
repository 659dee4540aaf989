from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

from headstart.errors import ArtefactError, DataError
from headstart.evidence import Calibration, score
from headstart.tasks import TASKS, Target


def logits(task: str, n: int, temperature: float, seed: int = 0):
    """Scores that are calibrated after division by `temperature`, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    if task == "multilabel":
        z = rng.normal(size=(n, 3)) * 2 - 1
        return temperature * z, Target("multilabel", (rng.random((n, 3)) < expit(z)).astype(np.uint8), ("a", "b", "c"))
    z = rng.normal(size=(n, 4)) * 2
    y = (log_softmax(z, axis=1) + rng.gumbel(size=(n, 4))).argmax(axis=1)
    return temperature * z, Target("multiclass", y, tuple("abcd"))


@pytest.mark.parametrize("temperature", [0.01, 1.0, 50.0])
def test_the_temperature_is_found_whatever_the_scale(temperature):
    scores, target = logits("multiclass", 4000, temperature)
    fitted = Calibration.fit("multiclass", scores, target)
    best = minimize_scalar(
        lambda t: -log_softmax(scores / t, axis=1)[np.arange(4000), target.y].mean(),
        bounds=(temperature / 5, temperature * 5),
        method="bounded",
    )
    assert 1 / fitted.slope == pytest.approx(best.x, rel=0.01)  # the smoothing is worth one item in 4,000
    assert 1 / fitted.slope == pytest.approx(temperature, rel=0.08)
    assert score(target, fitted.probabilities(scores))["ece"] < 0.03


@pytest.mark.parametrize("prior", [0.05, 0.5])
def test_two_classes_get_the_fit_of_logistic_regression(prior):
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < prior).astype(np.int64)
    truth = y + 0.5 * rng.normal(size=2000)
    scores = prior + 0.3 * (truth - prior)  # as ridge on 0 and 1 has them: far from log odds where one class is rare
    target = Target("binary", y, ("no", "yes"))
    fitted = Calibration.fit("binary", np.column_stack([1 - scores, scores]), target)
    plain = LogisticRegression(C=1e6).fit(scores[:, None], y).predict_proba(scores[:, None])
    assert fitted.probabilities(np.column_stack([1 - scores, scores])) == pytest.approx(plain, abs=0.03)
    assert sum(fitted.offsets) == pytest.approx(0, abs=1e-4)


def test_scores_that_say_nothing_keep_their_order():
    """With one label a class no left-out score can be right; what is predicted is still the head's."""
    target = Target("multiclass", np.arange(3), ("a", "b", "c"))
    scores = np.random.default_rng(0).normal(size=(3, 3)) - 5.0 * target.encoded()
    fitted = Calibration.fit("multiclass", scores, target)
    assert fitted.offsets == (0.0, 0.0, 0.0)
    new = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_array_equal(fitted.probabilities(new).argmax(1), new.argmax(1))


def test_the_offsets_of_many_classes_are_the_optimum():
    scores, target = logits("multiclass", 300, 2.0)
    scores += np.array([0.0, 2.0, -1.0, 4.0])  # what a temperature cannot mend
    fitted = Calibration.fit("multiclass", scores, target)
    smooth = np.where(target.encoded() == 1, 1 - 1 / 302, 1 / 302 / 3)

    def loss(at):
        return -(smooth * log_softmax(at[0] * scores + at[1:], axis=1)).sum() + 0.5 * at[1:] @ at[1:]

    best = minimize(loss, [0.5, 0.0, 0.0, 0.0, 0.0])
    assert (fitted.slope, *fitted.offsets) == pytest.approx(best.x, abs=2e-3)
    plain = Calibration("multiclass", slope=fitted.slope, floor=fitted.floor, doubt=fitted.doubt)
    ours, theirs = (score(target, one.probabilities(scores))["log_loss"] for one in (fitted, plain))
    assert ours < 0.9 * theirs


def test_many_labels_get_platts_fit():
    scores, target = logits("multilabel", 500, 3.0)
    fitted = Calibration.fit("multilabel", scores, target)
    x, y = scores.ravel(), target.y.ravel()
    positives = y.sum()
    smooth = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    best = minimize(lambda ab: np.logaddexp(0, ab[0] * x + ab[1]).sum() - smooth @ (ab[0] * x + ab[1]), [0.1, 0.0])
    assert (fitted.slope, fitted.offset) == pytest.approx(best.x, rel=1e-3)


def test_weights_count_items_twice():
    scores, target = logits("multilabel", 200, 1.0)
    weights = 1.0 + (np.arange(200) % 2)
    rows = np.repeat(np.arange(200), 1 + np.arange(200) % 2)
    weighted = Calibration.fit("multilabel", scores, target, weights)
    repeated = Calibration.fit("multilabel", scores[rows], target.take(rows))
    assert (weighted.slope, weighted.offset) == pytest.approx((repeated.slope, repeated.offset), rel=0.01, abs=0.005)
    plain = LogisticRegression(C=1e6).fit(scores.reshape(-1, 1), target.y.ravel(), np.repeat(weights, 3))
    assert weighted.slope == pytest.approx(plain.coef_[0, 0], rel=0.03)


@pytest.mark.parametrize("n", [4, 50])
def test_separable_scores_are_no_more_certain_than_the_rule_of_succession(n):
    y = np.arange(n) % 2
    target = Target("binary", y, ("no", "yes"))
    fitted = Calibration.fit("binary", np.eye(2)[y] * 5, target)
    p = fitted.probabilities(np.array([[0.0, 5.0], [0.0, 1e300], [-np.inf, np.inf], [0.0, 0.1]]))
    assert p.sum(axis=1) == pytest.approx(np.ones(4))
    assert (p <= (n + 1) / (n + 2) + 1e-12).all()
    assert (p > 0).all()
    assert p[3].max() < 0.6  # an undecided score stays undecided


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_infinite_scores_are_survived(task):
    scores, target = logits(task, 60, 1.0)
    scores[:10, 0], scores[10:15, 1], scores[15] = -np.inf, np.inf, -np.inf
    fitted = Calibration.fit(task, scores, target)
    p = fitted.probabilities(scores)
    assert np.isfinite(p).all()
    assert ((p > 0) & (p < 1)).all()
    assert math.isfinite(fitted.slope)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_order_of_scores_is_kept(task):
    scores, target = logits(task, 80, 2.0)
    fitted = Calibration.fit(task, scores, target)
    if task == "multiclass":  # of one class, the others' being the same
        rising = np.tile(scores[0], (50, 1))
        rising[:, 2] = np.linspace(scores.min(), scores.max(), 50)
        assert (np.diff(fitted.probabilities(rising)[:, 2]) >= 0).all()
    else:
        order = np.argsort(scores.ravel())
        assert (np.diff(fitted.probabilities(scores).ravel()[order]) >= 0).all()


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_scores_that_mislead_become_the_base_rate(task):
    scores, target = logits(task, 300, 1.0)
    p = Calibration.fit(task, -scores, target).probabilities(-scores)
    expected = target.encoded().mean(axis=0) if task == "multiclass" else np.full(3, target.y.mean())
    assert p == pytest.approx(np.tile(expected, (300, 1)), abs=0.01)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_scores_that_are_all_the_same(task):
    target = Target(task, np.tile([0, 1], 5) if task != "multilabel" else np.eye(2, dtype=np.uint8), ("a", "b"))
    p = Calibration.fit(task, np.full((len(target), 2), 0.3), target).probabilities(np.full((3, 2), 0.3))
    assert p == pytest.approx(np.full((3, 2), 0.5))


def test_regression_keeps_predictions_and_the_residuals_spread():
    y = np.array([1.0, 2.0, 4.0])
    fitted = Calibration.fit("regression", np.array([[1.0], [3.0], [2.0]]), Target("regression", y, ("v",)))
    assert fitted.residual == pytest.approx(math.sqrt(5 / 3))
    assert fitted.probabilities(np.array([[7.0]])).tolist() == [[7.0]]


@pytest.mark.parametrize("task", TASKS)
def test_the_state_survives_json(task, draw):
    target, p = draw(task, n=50)
    fitted = Calibration.fit(task, p, target)
    restored = Calibration.restore(json.loads(json.dumps(fitted.state(), allow_nan=False)))
    assert restored == fitted
    assert (restored.probabilities(p) == fitted.probabilities(p)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"slope": "1"},
        {"slope": float("nan")},
        {"doubt": True},
        {"task": "cooking"},
        {"extra": 1.0},
        {"task": []},
        {"slope": -1.0},
        {"doubt": 0.6},
        {"offsets": 1.0},
        {"offsets": [True, 0.0]},
        {"offsets": [float("inf"), 0.0]},
        {"slope": 10**400},
    ],
)
def test_a_damaged_state_is_refused(change):
    with pytest.raises(ArtefactError, match="calibration"):
        Calibration.restore(Calibration("binary").state() | change)


def test_a_state_without_offsets_is_read_as_of_the_first_days():
    state = Calibration("binary", slope=2.0, floor=-1.0).state()
    del state["offsets"]
    p = Calibration.restore(state).probabilities(np.array([[0.5, 0.0]]))
    assert p == pytest.approx(np.array([[expit(1.0), expit(-1.0)]]))


def test_unusable_input_is_refused():
    target = Target("binary", np.array([0, 1]), ("no", "yes"))
    with pytest.raises(DataError, match=r"shape \(2, 3\), expected \(2, 2\)"):
        Calibration.fit("binary", np.ones((2, 3)), target)
    with pytest.raises(DataError, match="NaN"):
        Calibration.fit("binary", np.full((2, 2), np.nan), target)
    with pytest.raises(DataError, match="weights"):
        Calibration.fit("binary", np.ones((2, 2)), target, np.zeros(2))
