"""What every registered head keeps to, whoever wrote it."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest

from headstart import registry
from headstart.errors import ArtefactError, DataError
from headstart.tasks import TASKS, Target


def importable(name):
    try:
        return registry.get("headstart.heads", name)
    except (ImportError, AttributeError):
        return None


HEADS = {name: head for name in registry.names("headstart.heads") if (head := importable(name)) is not None}
CASES = [(name, task) for name, head in HEADS.items() for task in TASKS if head.supports(task)]
CLASSES = [(name, task) for name, task in CASES if task in ("binary", "multiclass")]


def made(task, n=60, d=8, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 3))
    x = (hidden @ rng.normal(size=(3, d)) + 0.5 * rng.normal(size=(n, d))).astype(dtype)
    if task == "regression":
        return x, Target(task, hidden[:, 0], ("value",))
    if task == "multilabel":
        return x, Target(task, (hidden > 0.2).astype(np.uint8), ("a", "b", "c"))
    codes = np.arange(n) % 2 if task == "binary" else np.arange(n) % 3
    x += (2 * rng.normal(size=(3, d))[codes]).astype(dtype)
    return x, Target(task, codes, ("a", "b") if task == "binary" else ("a", "b", "c"))


def assert_proper(fitted, x, target, loo=True):
    shape = (len(x), target.n_outputs)
    scores = fitted.scores(x)
    assert scores.shape == shape
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    if loo and fitted.loo_scores is not None:
        assert fitted.loo_scores.shape == shape
        assert fitted.loo_scores.dtype == np.float64
        assert np.isfinite(fitted.loo_scores).all()


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("d", [8, 90])
def test_learns_and_its_left_out_scores_are_proper(name, task, d):
    x, target = made(task, d=d)
    fitted = HEADS[name].fit(x, target)
    assert_proper(fitted, x, target)
    for scores in [fitted.scores(x)] + ([] if fitted.loo_scores is None else [fitted.loo_scores]):
        if target.exclusive:
            assert (scores.argmax(axis=1) == target.y).mean() > 0.7
        elif task == "regression":
            assert np.corrcoef(scores[:, 0], target.y)[0, 1] > 0.5
        else:
            assert scores[target.y == 1].mean() > scores[target.y == 0].mean()


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_state_is_inert_and_restores_the_same_predictions(name, task):
    x, target = made(task)
    fitted = HEADS[name].fit(x, target)
    state = fitted.state()
    assert state.kind == name
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in state.arrays.values())
    settings = json.loads(json.dumps(dict(state.settings), allow_nan=False))
    copy = type(state)(state.kind, {key: array.copy() for key, array in state.arrays.items()}, settings)
    restored = HEADS[name].restore(copy)
    np.testing.assert_array_equal(restored.scores(x), fitted.scores(x))
    assert restored.loo_scores is None


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_stored_number_that_is_none_is_refused(name, task, odd):
    x, target = made(task)
    state = HEADS[name].fit(x, target).state()
    for key, array in state.arrays.items():
        if array.dtype.kind != "f" or not array.size or (name, key) == ("boosted-trees", "threshold"):
            continue  # a threshold may be infinite
        damaged = array.copy()
        damaged.flat[0] = odd
        with pytest.raises(ArtefactError):
            HEADS[name].restore(type(state)(state.kind, {**state.arrays, key: damaged}, state.settings))


@pytest.mark.parametrize(("name", "task"), CASES)
def test_the_same_data_and_seed_give_the_same_head(name, task):
    x, target = made(task)
    first, second = (HEADS[name].fit(x.copy(), target, seed=3) for _ in range(2))
    for key, array in first.state().arrays.items():
        np.testing.assert_array_equal(array, second.state().arrays[key])
    if first.loo_scores is not None:
        np.testing.assert_array_equal(first.loo_scores, second.loo_scores)


FIXED = {
    "ridge": ("headstart.heads.ridge:Ridge", {"penalties": (0.1,)}),
    "knn": ("headstart.heads.knn:Knn", {"neighbours": (5,), "temperatures": (0.1,)}),
    "kernel": ("headstart.heads.kernel:Kernel", {"bandwidths": (1.0,), "penalties": (0.1,)}),
}


@pytest.mark.parametrize(("name", "task"), [case for case in CASES if case[0] in FIXED])
@pytest.mark.parametrize("grouped", [False, True])
def test_an_items_label_does_not_reach_its_own_left_out_score(name, task, grouped):
    """With hyperparameters fixed. (Means and logistic are compared with refits in their own tests.)"""
    x, target = made(task, dtype=np.float64)
    groups = np.arange(60) // 2 if grouped else None
    module, _, attribute = FIXED[name][0].partition(":")
    head = getattr(import_module(module), attribute)(**FIXED[name][1])
    y = target.y.copy()
    y[7] = {"regression": 100.0, "multilabel": 1 - y[7]}.get(task, (y[7] + 1) % target.n_outputs)
    before = head.fit(x, target, groups=groups)
    after = head.fit(x, Target(task, y, target.classes), groups=groups)
    np.testing.assert_allclose(before.loo_scores[7], after.loo_scores[7], atol=1e-5)
    assert not np.allclose(before.loo_scores, after.loo_scores, atol=1e-3)


@pytest.mark.parametrize(("name", "task"), CLASSES)
@pytest.mark.parametrize("d", [8, 90])
def test_a_class_without_items_has_a_column_and_never_wins(name, task, d):
    x, target = made(task, d=d)
    wider = Target("multiclass", target.y, (*target.classes, "nobody"))
    fitted = HEADS[name].fit(x, wider)
    assert_proper(fitted, x, wider)
    for scores in [fitted.scores(x)] + ([] if fitted.loo_scores is None else [fitted.loo_scores]):
        assert (scores[:, -1] <= scores.max(axis=1) - 0.5).all()


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize(
    "kind", ["one column", "constant column", "all constant", "duplicates", "half", "huge", "tiny"]
)
def test_odd_features(name, task, kind):
    x, target = made(task)
    x = {
        "one column": x[:, :1],
        "constant column": np.hstack([x, np.full((60, 1), 3.0, np.float32)]),
        "all constant": np.ones_like(x),
        "duplicates": np.hstack([x, x])[np.arange(60) // 2 * 2],
        "half": x.astype(np.float16),
        "huge": x.astype(np.float64) * 1e30,
        "tiny": x.astype(np.float64) * 1e-30,
    }[kind]
    assert_proper(HEADS[name].fit(x, target), x, target)


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("d", [1, 30])
def test_very_few_items(name, task, d):
    x, target = made(task, n=60, d=d)
    for n in (2, 3, 4):
        few = target.take(np.arange(n))
        assert_proper(HEADS[name].fit(x[:n], few), x, target, loo=False)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_weights_and_groups_together(name, task):
    x, target = made(task)
    weights = np.random.default_rng(1).uniform(0, 2, 60)
    weights[:3] = 0
    fitted = HEADS[name].fit(x, target, weights=weights, groups=np.arange(60) // 3)
    assert_proper(fitted, x, target)


@pytest.mark.parametrize("name", HEADS)
def test_what_cannot_be_fitted_is_refused_in_one_line(name):
    task = next(task for task in TASKS if HEADS[name].supports(task))
    x, target = made(task)
    bad = [
        {"x": x[:5]},
        {"x": x[:, 0]},
        {"weights": -np.ones(60)},
        {"weights": np.ones(3)},
        {"groups": np.zeros(60, dtype=int)},
        {"x": np.where(np.arange(60)[:, None] == 3, np.inf, x).astype(np.float32)},
    ]
    for change in bad if name in ("ridge", "logistic", "means", "knn", "kernel") else bad[:1]:
        arguments = {"x": x, "target": target} | change
        with pytest.raises(DataError) as refused:
            HEADS[name].fit(arguments.pop("x"), arguments.pop("target"), **arguments)
        assert "\n" not in str(refused.value)
    fitted = HEADS[name].fit(x, target)
    if name in ("ridge", "logistic", "means", "knn", "kernel"):
        with pytest.raises(DataError, match="fitted on 8 columns"):
            fitted.scores(x[:, :5])
