import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from headstart.heads.hashed_ridge import MOST_COLUMNS, STRENGTHS, hashed_width, hashing, ridge_on
from headstart.tasks import Target


def made(n=90, d=25, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.4)
    x[np.arange(n), y] += 2
    x *= np.sqrt(n / (x**2).sum())
    return x, Target("multiclass", y, tuple("abcdefgh"[:classes])), rng.random(n) + 0.1


def test_there_are_as_many_columns_as_their_weights_allow():
    assert hashed_width(200) == MOST_COLUMNS
    assert hashed_width(5_000) == 2_000
    assert hashed_width(10**9) == 1


@pytest.mark.parametrize(("width", "fewer"), [(40_000, 3_000), (7, 3), (1_001, 1)])
def test_each_column_is_added_to_one_with_a_sign(width, fewer):
    table = hashing(width, fewer)
    assert table.shape == (width, fewer)
    assert (np.diff(table.indptr) == 1).all()
    assert set(table.data) <= {-1.0, 1.0}
    filled = np.bincount(table.indices, minlength=fewer)
    assert filled.max() <= 2 * width / fewer + 2
    if width > 1_000:
        assert abs(table.data.mean()) < 0.05


def test_products_of_rows_are_kept_on_average():
    rng = np.random.default_rng(0)
    x = sparse.random_array((200, 20_000), density=0.005, rng=rng, format="csr", dtype=np.float32)
    exact, hashed = (x @ x.T).toarray(), ((x @ hashing(20_000, 2_000)) @ (x @ hashing(20_000, 2_000)).T).toarray()
    beyond = hashed - exact
    assert abs(beyond.mean()) < 0.01 * np.trace(exact) / 200
    assert beyond.std() < 0.06 * np.trace(exact) / 200


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_equals_ridge_of_scikit_learn(kind):
    x, target, weights = made()
    strength, fit = ridge_on(kind(x), target, weights, np.arange(90) % 5)
    reference = Ridge(alpha=1 / strength).fit(x, target.encoded(), sample_weight=weights)
    np.testing.assert_allclose(fit.scores(x), reference.predict(x), atol=1e-9)


def test_the_penalty_has_the_least_error_on_the_first_fold():
    x, target, weights = made(seed=3)
    folds = np.arange(90) // 4 % 5
    train, test = folds != 0, folds == 0
    errors = []
    for strength in STRENGTHS:
        model = Ridge(alpha=1 / strength).fit(x[train], target.encoded()[train], sample_weight=weights[train])
        errors.append(weights[test] @ ((model.predict(x[test]) - target.encoded()[test]) ** 2).sum(axis=1))
    assert ridge_on(x, target, weights, folds)[0] == STRENGTHS[int(np.argmin(errors))]


def test_labels_are_fitted_one_by_one():
    x, target, weights = made()
    labels = Target("multilabel", np.stack([target.y > 1, target.y == 0], axis=1).astype(np.uint8), ("a", "b"))
    strength, fit = ridge_on(x, labels, weights, np.arange(90) % 5)
    for column in range(2):
        reference = Ridge(alpha=1 / strength).fit(x, labels.y[:, column].astype(float), sample_weight=weights)
        np.testing.assert_allclose(fit.scores(x)[:, column], reference.predict(x), atol=1e-9)


def test_a_class_without_items_never_wins():
    x, target, weights = made()
    more = Target("multiclass", target.y, tuple("abcdef"))
    _, fit = ridge_on(x, more, weights, np.arange(90) % 5)
    assert fit.scores(x).argmax(axis=1).max() == 3
    assert (fit.scores(x)[:, 4:] == -1).all()
