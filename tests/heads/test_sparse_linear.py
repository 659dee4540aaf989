import json
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.errors import ArtefactError, DataError
from headstart.heads import design, hashed_ridge, sparse_linear
from headstart.heads.base import HeadState
from headstart.heads.canonical import losses, minimised, prior
from headstart.heads.folds import inner_folds
from headstart.heads.sparse_linear import SparseLinear
from headstart.tasks import Target

CLASSES = ("ant", "bee", "cat")


def items(n=150, d=400, seed=0):
    """Sparse rows, ten cells each, of which the first nine columns tell the three classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = np.zeros((n, d))
    for row, label in zip(x, y, strict=True):
        row[rng.integers(9, d, 8)] = rng.random(8)
        row[3 * label + rng.integers(0, 3, 2)] = 1
    return sparse.csr_matrix(x / np.linalg.norm(x, axis=1, keepdims=True)), y


def targets(y):
    rng = np.random.default_rng(1)
    return {
        "binary": Target("binary", (y > 0).astype(np.int64), ("no", "yes")),
        "multiclass": Target("multiclass", y, CLASSES),
        "multilabel": Target("multilabel", np.stack([y > 0, y > 1, y == 0], axis=1).astype(np.uint8), CLASSES),
        "regression": Target("regression", 50 + 7 * y + rng.normal(size=len(y)), ("value",)),
    }


TASKS = list(targets(np.arange(3)))


def solved(link, x, y, weights, strength):
    return minimised(link, x, y, weights, strength, prior(link, y, weights, x.shape[1]), 2_000)


def test_softmax_equals_scikit_learn():
    x, y = items(d=40)
    weights = np.random.default_rng(2).random(len(y)) + 0.1
    reference = LogisticRegression(C=3.0, tol=1e-8, max_iter=2_000).fit(x, y, sample_weight=weights)
    ours = solved("softmax", x, np.eye(3)[y], weights, 3.0).scores(x)
    expected = reference.decision_function(x)
    np.testing.assert_allclose(ours - ours.mean(axis=1, keepdims=True), expected, atol=2e-2)


def test_sigmoid_equals_scikit_learn_label_by_label():
    x, y = items(d=40)
    labels = np.stack([y > 0, y == 1], axis=1)
    ours = solved("sigmoid", x, labels.astype(float), np.ones(len(y)), 3.0).scores(x)
    for column, label in enumerate(labels.T):
        reference = LogisticRegression(C=3.0, tol=1e-8, max_iter=2_000).fit(x, label)
        np.testing.assert_allclose(ours[:, column], reference.decision_function(x), atol=2e-2)


def test_identity_equals_ridge():
    x, y = items(d=40)
    ours = solved("identity", x, y[:, None].astype(float), np.ones(len(y)), 0.5).scores(x)
    np.testing.assert_allclose(ours[:, 0], Ridge(alpha=2.0).fit(x.toarray(), y).predict(x.toarray()), atol=1e-2)


@pytest.mark.parametrize("link", ["softmax", "sigmoid", "identity"])
def test_the_loss_is_far_from_overflow(link):
    assert np.isfinite(losses(link, np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]]))).all()


@pytest.mark.parametrize("task", TASKS)
def test_few_items_are_solved_in_their_span_with_the_same_result(task, monkeypatch):
    x, y = items(n=60)
    target = targets(y)[task]
    assert design.Design.of(x, np.ones(60)).root is not None
    dual = SparseLinear().fit(x, target)
    monkeypatch.setattr(design, "MOST_DUAL", 0)
    primal = SparseLinear().fit(x, target)
    assert dual.strength == primal.strength
    spread = primal.scores(x).std()
    np.testing.assert_allclose(dual.scores(x), primal.scores(x), atol=0.03 * spread)
    np.testing.assert_allclose(dual.loo_scores, primal.loo_scores, atol=0.03 * spread)


@pytest.mark.parametrize("task", TASKS)
def test_loo_scores_are_of_fits_on_the_other_folds(task):
    x, y = items()
    target = targets(y)[task]
    groups = np.arange(150) // 2
    fitted = SparseLinear().fit(x, target, groups=groups, seed=3)
    folds = inner_folds(target, groups, sparse_linear.FOLDS, 3)
    train, test = np.flatnonzero(folds != 1), np.flatnonzero(folds == 1)
    model = (
        Ridge(alpha=1 / fitted.strength).fit(x[train], target.y[train])
        if task == "regression"
        else LogisticRegression(C=fitted.strength, tol=1e-6, max_iter=2_000).fit(x[train], target.encoded()[train, -1])
    )
    if task == "regression":
        expected = model.predict(x[test])
        # Ridge sees y in its own unit: the penalty is the same, the mean is another by a hair.
        np.testing.assert_allclose(fitted.loo_scores[test, 0], expected, atol=0.3)
    else:
        assert np.corrcoef(fitted.loo_scores[test, -1], model.decision_function(x[test]))[0, 1] > 0.95


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("small", [3e7, 0])
def test_predicts_unseen_items_small_or_large(task, small, monkeypatch):
    monkeypatch.setattr(sparse_linear, "SMALL", small)
    x, y = items()
    unseen, truth = items(seed=5)
    fitted = SparseLinear().fit(x, targets(y)[task])
    assert (fitted.loo_scores is None) == (small == 0)
    scores = fitted.scores(unseen)
    if task == "regression":
        assert np.abs(scores[:, 0] - targets(truth)[task].y).mean() < 2.5
    elif task == "multilabel":
        assert ((scores > 0) == targets(truth)[task].y).mean() > 0.9
    else:
        assert (scores.argmax(axis=1) == targets(truth)[task].y).mean() > 0.9


def test_dense_features_are_standardised():
    x, y = items(d=30)
    dense = x.toarray() * np.logspace(-3, 3, 30) + 1e3
    plain = SparseLinear().fit(x.toarray(), Target("multiclass", y, CLASSES))
    moved = SparseLinear().fit(dense, Target("multiclass", y, CLASSES))
    assert (moved.scores(dense).argmax(axis=1) == plain.scores(x.toarray()).argmax(axis=1)).mean() > 0.97


@pytest.mark.parametrize("seen", [(0, 2), (1,)])
def test_a_class_without_items_has_a_column_that_never_wins(seen):
    x, y = items()
    rows = np.flatnonzero(np.isin(y, seen))
    fitted = SparseLinear().fit(x[rows], Target("multiclass", y[rows], CLASSES))
    assert np.isfinite(fitted.loo_scores).all()
    assert set(fitted.scores(x).argmax(axis=1)) <= set(seen)
    assert set(fitted.loo_scores.argmax(axis=1)) <= set(seen)


def test_one_item_of_a_class_and_empty_and_equal_rows():
    x, y = items(n=40)
    x, y = sparse.vstack([x, x[:5], sparse.csr_matrix((2, 400))]).tocsr(), np.r_[np.minimum(y, 1), y[:5] * 0, 2, 0]
    fitted = SparseLinear().fit(x, Target("multiclass", y, CLASSES))
    assert np.isfinite(fitted.scores(x)).all()
    assert np.isfinite(fitted.loo_scores).all()


def test_restored_from_inert_data_gives_the_same_scores():
    x, y = items()
    fitted = SparseLinear().fit(x, Target("multiclass", y, CLASSES))
    state = fitted.state()
    again = SparseLinear().restore(HeadState(state.kind, state.arrays, json.loads(json.dumps(dict(state.settings)))))
    np.testing.assert_array_equal(again.scores(x), fitted.scores(x))
    assert again.loo_scores is None
    with pytest.raises(ArtefactError, match="lacks a weight"):
        SparseLinear().restore(HeadState(state.kind, {"weight": fitted.weight}, {}))
    with pytest.raises(DataError, match="fitted on 400 columns"):
        fitted.scores(x[:, :7])


@pytest.fixture
def hashed(monkeypatch):
    """Heads of whatever size are fitted on at most 64 hashed columns."""
    monkeypatch.setattr(sparse_linear, "MOST_WEIGHTS", 0)
    monkeypatch.setattr(hashed_ridge, "MOST_COLUMNS", 64)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("dense", [False, True])
def test_very_many_weights_are_of_hashed_columns(task, dense, hashed):
    x, y = items(n=600)
    unseen, truth = items(seed=5)
    x, unseen = (x.toarray(), unseen.toarray()) if dense else (x, unseen)
    fitted = SparseLinear().fit(x, targets(y)[task])
    assert fitted.weight.shape == (64, targets(y)[task].n_outputs)
    assert fitted.loo_scores is None
    scores, expected = fitted.scores(unseen), targets(truth)[task].y
    said = scores > 0.5 if task == "multilabel" else scores.argmax(axis=1)
    assert (said == expected).mean() > 0.8
    state = fitted.state()
    again = SparseLinear().restore(HeadState(state.kind, state.arrays, json.loads(json.dumps(dict(state.settings)))))
    np.testing.assert_array_equal(again.scores(unseen), scores)
    with pytest.raises(DataError, match="fitted on 400 columns"):
        fitted.scores(unseen[:, :64])


@pytest.mark.parametrize("width", [64, 63, -1, 400.0, "400", [400], True])
def test_a_stored_width_that_is_none_is_refused(width, hashed):
    x, y = items()
    state = SparseLinear().fit(x, Target("multiclass", y, CLASSES)).state()
    with pytest.raises(ArtefactError, match="damaged"):
        SparseLinear().restore(HeadState(state.kind, state.arrays, {**state.settings, "width": width}))


def test_a_number_is_never_hashed(hashed):
    x, y = items()
    assert SparseLinear().fit(x, targets(y)["regression"]).width is None


def test_thousands_of_classes_take_less_memory_than_their_weights_would(monkeypatch):
    """3,200 items, 20,000 columns, 1,600 classes: 256 MB an array of weights, of which L-BFGS holds two dozen."""
    monkeypatch.setattr(hashed_ridge, "MOST_COLUMNS", 200)
    rng = np.random.default_rng(0)
    x = sparse.random_array((3_200, 20_000), density=1e-3, rng=rng, format="csr", dtype=np.float32)
    target = Target("multiclass", np.arange(3_200) % 1_600, tuple(map(str, range(1_600))))
    tracemalloc.start()
    try:
        SparseLinear().fit(sparse.csr_matrix(x), target)
        assert tracemalloc.get_traced_memory()[1] < 8 * 20_000 * 1_600
    finally:
        tracemalloc.stop()
