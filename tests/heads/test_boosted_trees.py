import json
from functools import cache

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_selection import f_classif, r_regression

from headstart.errors import ArtefactError
from headstart.heads.base import HeadState
from headstart.heads.boosted_trees import BoostedTrees, Size
from headstart.heads.dependence import dependence, strongest_columns
from headstart.heads.trees import Trees
from headstart.tasks import Target

CLASSES = ("ant", "bee", "cat")


def items(n=160, d=12, seed=0, classes=3):
    """Blobs with noise columns and gaps, and labels that depend on the first two columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = np.digitize(x[:, 0] + 0.7 * np.abs(x[:, 1]) + 0.2 * rng.normal(size=n), [0.1, 1.0])
    x[rng.random((n, d)) < 0.1] = np.nan
    return x, np.minimum(y, classes - 1)


def targets():
    _, y = items()
    rng = np.random.default_rng(1)
    return {
        "binary": Target("binary", (y > 0).astype(np.int64), ("no", "yes")),
        "multiclass": Target("multiclass", y, CLASSES),
        "multilabel": Target("multilabel", np.stack([y > 0, y > 1, y == 0], axis=1).astype(np.uint8), CLASSES),
        "regression": Target("regression", y + rng.normal(size=len(y)), ("value",)),
    }


@cache
def fitted(task):
    return BoostedTrees().fit(items()[0], targets()[task])


@pytest.mark.parametrize("classes", [2, 3])
def test_flat_trees_equal_scikit_learn_classifier(classes):
    x, y = items(classes=classes)
    unseen, _ = items(seed=5)
    model = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3).fit(x, y)
    raw = Trees.of(model, np.arange(12)).raw(unseen)
    np.testing.assert_allclose(raw, model.decision_function(unseen).reshape(len(unseen), -1), atol=1e-9)


def test_flat_trees_equal_scikit_learn_regressor_on_moved_columns():
    x, y = items()
    unseen, _ = items(seed=5)
    columns = np.array([7, 3, 4, 30, 31, 32, 40, 41, 42, 50, 51, 52])
    model = HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=3).fit(x, y)
    wide = np.full((len(unseen), 60), np.nan)
    wide[:, columns] = unseen
    np.testing.assert_allclose(Trees.of(model, columns).raw(wide)[:, 0], model.predict(unseen), atol=1e-9)


@pytest.mark.parametrize("task", targets())
def test_the_head_predicts_unseen_items(task):
    unseen, y = items(seed=5)
    scores = fitted(task).scores(unseen)
    if task == "regression":
        assert np.corrcoef(scores[:, 0], y)[0, 1] > 0.6
    elif task == "multilabel":
        assert ((scores[:, 1] > 0) == (y > 1)).mean() > 0.7
    else:
        assert (scores.argmax(axis=1) == (y > 0 if task == "binary" else y)).mean() > 0.7


@pytest.mark.parametrize("task", targets())
def test_restored_from_inert_data_gives_the_same_scores(task):
    x, _ = items()
    state = fitted(task).state()
    assert all(array.dtype != object for array in state.arrays.values())
    again = BoostedTrees().restore(HeadState(state.kind, state.arrays, json.loads(json.dumps(dict(state.settings)))))
    np.testing.assert_array_equal(again.scores(x), fitted(task).scores(x))


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_sparse_equals_dense(task):
    x, _ = items(n=80)
    x = np.where(np.isnan(x) | (x < 0), 0, x)
    target = targets()[task].take(np.arange(80))
    dense, csr = BoostedTrees().fit(x, target), BoostedTrees().fit(sparse.csr_matrix(x), target)
    np.testing.assert_allclose(csr.scores(sparse.csr_matrix(x)), dense.scores(x), atol=1e-12)


def test_an_item_of_weight_zero_is_as_if_absent():
    x, y = items(n=80, classes=2)
    kept = np.arange(len(y)) % 3 > 0
    target = Target("binary", y, ("no", "yes"))
    weighted = BoostedTrees().fit(x, target, weights=kept.astype(float))
    np.testing.assert_allclose(weighted.scores(x), BoostedTrees().fit(x[kept], target.take(kept)).scores(x), atol=1e-12)


@pytest.mark.parametrize("seen", [(0, 2), (1,)])
def test_a_class_without_items_has_a_column_that_never_wins(seen):
    x, y = items()
    rows = np.isin(y, seen)
    scores = BoostedTrees().fit(x[rows], Target("multiclass", y[rows], CLASSES)).scores(x)
    assert np.isfinite(scores).all()
    assert set(scores.argmax(axis=1)) <= set(seen)


def test_a_label_that_always_holds_has_its_smoothed_log_odds():
    x, y = items()
    target = Target("multilabel", np.stack([np.ones(len(y)), y > 0], axis=1).astype(np.uint8), ("always", "some"))
    scores = BoostedTrees().fit(x, target).scores(x)
    np.testing.assert_allclose(scores[:, 0], np.log(160.5 / 0.5))


def test_dependence_orders_columns_as_scikit_learn_does():
    x, y = items()
    x = np.nan_to_num(x)
    eta = dependence(x, Target("multiclass", y, CLASSES), np.ones(len(y)))
    np.testing.assert_array_equal(np.argsort(eta), np.argsort(f_classif(x, y)[0]))
    squared = dependence(x, Target("regression", y.astype(float), ("y",)), np.ones(len(y)))
    np.testing.assert_allclose(squared, r_regression(x, y) ** 2)
    np.testing.assert_allclose(dependence(sparse.csr_matrix(x), Target("multiclass", y, CLASSES), np.ones(len(y))), eta)


def test_constant_columns_say_nothing():
    x, y = items()
    x = np.nan_to_num(x)
    x[:, 0] = 1e9
    target = Target("multiclass", y, CLASSES)
    assert dependence(x, target, np.ones(len(y)))[0] == 0
    assert 0 not in strongest_columns(x, target, np.ones(len(y)), 5, seed=0)


@pytest.mark.parametrize(("n", "outputs"), [(100, 1), (2_000, 10), (10_000, 77), (200_000, 150)])
def test_work_is_bounded(n, outputs):
    size = Size.of(n, 2_000, outputs)
    assert size.steps >= 10
    assert outputs * size.steps <= max(1_000, 10 * outputs)
    assert n * size.columns <= max(6e6, 64 * n)


def test_damaged_trees_are_refused():
    state = fitted("multiclass").state()
    loop = {**state.arrays, "left": np.zeros_like(state.arrays["left"])}
    outside = {**state.arrays, "feature": state.arrays["feature"] + 12}
    short = {**state.arrays, "value": state.arrays["value"][:-1]}
    for arrays in (loop, outside, short, {}):
        with pytest.raises(ArtefactError, match="damaged"):
            BoostedTrees().restore(HeadState(state.kind, arrays, state.settings))
    with pytest.raises(ArtefactError, match="outputs"):
        BoostedTrees().restore(HeadState(state.kind, state.arrays, {**state.settings, "task": "regression"}))


@pytest.mark.parametrize(
    "odd",
    [
        {"floor": []},
        {"floor": float("nan")},
        {"floor": True},
        {"outputs": "3"},
        {"outputs": 0},
        {"width": 1.5},
        {"present": np.array([[0], [1]])},
        {"present": np.array([0, 1, 1])},
        {"present": np.array([0, 1, 3])},
        {"present": np.array([0.0, 1.0, 2.0])},
        {"value": np.nan},
        {"start": np.inf},
    ],
    ids=str,
)
def test_odd_values_are_refused(odd):
    state = fitted("multiclass").state()
    ((name, value),) = odd.items()
    settings = {**state.settings, name: value} if name in state.settings else state.settings
    arrays = dict(state.arrays)
    if name in arrays:
        arrays[name] = value if isinstance(value, np.ndarray) else np.full_like(arrays[name], value)
    with pytest.raises(ArtefactError, match="damaged"):
        BoostedTrees().restore(HeadState(state.kind, arrays, settings))


def test_classes_of_less_than_two_items_get_their_shares():
    """No tree could tell them apart, and scikit-learn would warn."""
    y = np.concatenate([np.arange(20), [0, 1, 1]])
    head = BoostedTrees().fit(
        np.random.default_rng(0).normal(size=(23, 3)), Target("multiclass", y, tuple(map(str, y[:20])))
    )
    scores = head.scores(np.zeros((1, 3)))[0]
    shares = np.exp(scores - scores[0])
    np.testing.assert_allclose(shares[:3], [1.0, 1.5, 0.5])
