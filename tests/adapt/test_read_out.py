"""Readings of a training: the head as trained, or ridge fitted anew; the moved graph and head give the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from sklearn.linear_model import Ridge

from headstart.adapt.base import Reading
from headstart.adapt.cuts import anatomy
from headstart.adapt.recipe import Recipe, learn, readings
from headstart.adapt.settings import Settings
from headstart.engines.memory import Choice
from headstart.features.embed import embed
from headstart.sources.moved import moved_source
from headstart.tasks import Target

TRAIN, TEST = np.arange(36), np.arange(36, 48)
SETTINGS = Settings(epochs=4, batch=8, rate=3e-3, head_rate=1e-3, bf16=False)
REFITTED = Reading(4, head="refitted")


def recipe(job, cut: int | None) -> Recipe:
    at = None if cut is None else anatomy(job.source).cuts[cut]
    return Recipe(SETTINGS, at, views=3 if at is not None and job.source.modality == "image" else 1)


def features_of_moved(job, moved, folder) -> np.ndarray:
    """(n, d) the taps of the moved graph, run by ONNX Runtime."""
    source = moved_source(job.source, moved.weights, folder)
    found = embed(job.items, source, choice=Choice("onnxruntime", "fp32", 1, 1, 1.0), use_cache=False)
    return found.select(moved.taps).astype(np.float64)


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("cut", [0, None])
def test_the_moved_graph_and_the_refitted_head_score_as_the_reading_did(make_job, tmp_path, modality, cut):
    job = make_job(modality)
    learned = learn(job, recipe(job, cut), TRAIN, TEST, [Reading(4), REFITTED])
    (tmp_path / "moved").mkdir()
    x = features_of_moved(job, learned.moved, tmp_path / "moved")
    found = x[TEST] @ learned.moved.head.T + learned.moved.bias
    own, refitted = learned.scores
    np.testing.assert_allclose(found, refitted, atol=0.02 * np.abs(refitted).max())  # features are rounded to float16
    assert np.abs(own - refitted).max() > 0.1 * np.abs(refitted).max()


def test_a_refitted_head_of_a_number_is_a_ridge_of_the_moved_features(make_job, tmp_path):
    """scikit-learn's, at one penalty or another."""
    job = make_job("image")
    number = Target("regression", 10.0 + job.target.y + 0.1 * np.sin(np.arange(48)), ("value",))
    job = replace(job, target=number)
    learned = learn(job, recipe(job, 0), TRAIN, TEST, [REFITTED])
    (tmp_path / "moved").mkdir()
    x = features_of_moved(job, learned.moved, tmp_path / "moved")
    x = x[:, x[TRAIN].std(axis=0) > 1e-3]
    x = (x - x[TRAIN].mean(axis=0)) / x[TRAIN].std(axis=0)
    misses = [
        np.abs(Ridge(alpha=alpha).fit(x[TRAIN], number.y[TRAIN]).predict(x[TEST]) - learned.scores[0][:, 0]).max()
        for alpha in np.logspace(-6, 5, 221)
    ]
    assert min(misses) < 0.02
    assert learned.scores[0][:, 0].mean() == pytest.approx(number.y[TEST].mean(), abs=0.5)


def test_a_blend_moves_the_weights_of_a_refitted_head_too(make_job):
    job = make_job("image")
    source, half, whole = (
        learn(job, recipe(job, 0), TRAIN, TEST, [Reading(4, blend, "refitted")]).moved for blend in (0.0, 0.5, 1.0)
    )
    for name, value in half.weights.items():
        np.testing.assert_allclose(value, (source.weights[name] + whole.weights[name]) / 2, atol=1e-6)
    assert np.abs(half.head - whole.head).max() > 1e-4


def test_heads_are_refitted_where_the_features_can_be_held(make_job):
    job = make_job("image")
    how = recipe(job, 0)
    few, many = readings(job, how, 36), readings(job, how, 10**9)
    assert [(r.epoch, r.blend) for r in few if r.head == "refitted"] == [(2, 1.0), (4, 1.0)]
    assert {r.head for r in many} == {"own"}
    assert set(many) < set(few)
    assert REFITTED.words == "epoch 4, blend 1, head refitted"
