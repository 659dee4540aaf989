import json

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.errors import ArtefactError, DataError
from headstart.features.rows import RowScaler


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(3, [1, 10, 0.1, 1000], (60, 4))
    x[rng.random(60) < 0.3, 1] = np.nan
    x[5, 3] = np.nan
    return x


def test_values_equal_scikit_learn(table):
    train, test = table[:40], table[40:]
    reference = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(train)
    rows = RowScaler.fit(train).transform(test)
    np.testing.assert_allclose(rows[:, :4], reference.transform(test), atol=1e-12)


def test_gaps_of_training_are_marked(table):
    scaler = RowScaler.fit(table)
    rows = scaler.transform(table)
    np.testing.assert_array_equal(rows[:, 4:], np.isnan(table[:, [1, 3]]))
    assert scaler.names(("a", "b", "c", "d")) == ("a", "b", "c", "d", "b missing", "d missing")


def test_empty_constant_and_infinite_cells_stay_finite():
    x = np.array([[np.nan, 1e9 + 0.1, 1.0], [np.nan, 1e9 + 0.1, np.inf], [np.nan, 1e9 + 0.1, 3.0]])
    rows = RowScaler.fit(x).transform(x)
    np.testing.assert_array_equal(rows[:, :2], 0)
    np.testing.assert_array_equal(rows[:, 3:], [[1, 0], [1, 1], [1, 0]])
    assert np.isfinite(rows).all()


def test_restored_from_json_gives_the_same_rows(table):
    scaler = RowScaler.fit(table)
    arrays, settings = scaler.state()
    again = RowScaler.restore(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(again.transform(table), scaler.transform(table))


def test_other_columns_and_damaged_states_are_refused(table):
    scaler = RowScaler.fit(table)
    with pytest.raises(DataError, match=r"expected \(n, 4\)"):
        scaler.transform(table[:, :3])
    arrays, settings = scaler.state()
    with pytest.raises(ArtefactError, match="do not match"):
        RowScaler.restore({**arrays, "means": arrays["means"][:2]}, settings)
    with pytest.raises(ArtefactError, match="do not match"):
        RowScaler.restore(arrays, {"gappy": [9]})


def test_columns_of_extreme_size_are_told_apart():
    """The squares of 1e300 overflow; in float32 what lies far outside of training would be infinite."""
    x = np.random.default_rng(0).normal(size=(50, 3))
    scaler = RowScaler.fit(x * [1e300, 1, 1e-300])
    ordinary = RowScaler.fit(x).transform(x)
    np.testing.assert_allclose(scaler.transform(x * [1e300, 1, 1e-300]), ordinary, rtol=1e-9)
    far = scaler.transform(np.array([[1.7e308, 1e300, -1e300], [-1.7e308, 0, 0]])).astype(np.float32)
    assert np.isfinite(far).all()
    assert far[0, 1] > 1e5
