"""Nearest neighbours against their definition, item by item."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import ArtefactError
from headstart.heads import knn
from headstart.heads.base import HeadState
from headstart.heads.knn import SMOOTHING, Knn
from headstart.heads.scaling import Scaling
from headstart.tasks import Target


def made(task, n=40, d=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = {
        "multiclass": rng.integers(0, 3, n),
        "multilabel": (rng.random((n, 3)) < 0.4).astype(np.uint8),
        "regression": x[:, 0].astype(float),
    }[task]
    return x, Target(task, y, ("v",) if task == "regression" else ("a", "b", "c"))


def by_definition(query, items, votes, w, k, temperature, task):
    cosines = items.astype(np.float32) @ query.astype(np.float32)
    near = np.argsort(-cosines, kind="stable")[:k]
    power = w[near] * np.exp((cosines[near] - cosines[near[0]]) / temperature)
    cast, total = power @ votes[near], power.sum()
    if task == "regression":
        return cast / total
    if task == "multilabel":
        share = (cast + SMOOTHING / 2) / (total + SMOOTHING)
        return np.log(share / (1 - share))
    return np.log((cast + SMOOTHING / votes.shape[1]) / (total + SMOOTHING))


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_scores_and_left_out_scores(task, grouped, k):
    x, target = made(task)
    rng = np.random.default_rng(1)
    w = rng.uniform(0.5, 2, 40)
    w[::9] = 0
    groups = rng.integers(0, 12, 40) if grouped else np.arange(40)
    fitted = Knn((k,), (0.1,)).fit(x, target, weights=w, groups=groups if grouped else None)
    scaling = Scaling.fit(x, w)
    z = scaling.apply(x, np.float32)
    unit = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float16)
    y, even = target.encoded(), w / w[w > 0].mean()
    for i in range(40):
        others = (groups != groups[i]) & (w > 0)
        # as many votes as there are stored items: those of the own group are among the k, with none
        expected = by_definition(unit[i], unit[others], y[others], even[others], k, 0.1, task)
        np.testing.assert_allclose(fitted.loo_scores[i], expected, atol=1e-4)
        whole = by_definition(unit[i], unit[w > 0], y[w > 0], even[w > 0], k, 0.1, task)
        np.testing.assert_allclose(fitted.scores(x[i : i + 1])[0], whole, atol=1e-4)


def test_what_is_stored_is_bounded(monkeypatch):
    monkeypatch.setattr(knn, "STORED_LIMIT", 6 * 25)
    x, target = made("multiclass", n=100)
    fitted = Knn().fit(x, target, seed=3)
    assert fitted.items.shape == (25, 6)
    assert fitted.items.dtype == np.float16
    assert fitted.loo_scores.shape == (100, 3)
    assert not np.array_equal(fitted.items, Knn().fit(x, target, seed=4).items)


@pytest.mark.parametrize(
    "odd",
    [
        {"neighbours": 41}, {"neighbours": 0}, {"neighbours": 1.5}, {"neighbours": "3"},
        {"temperature": 0.0}, {"temperature": float("nan")}, {"temperature": None}, {"task": "sorcery"},
        {"votes": np.full((40, 3), np.nan, np.float32)}, {"items": np.zeros((40, 6), np.int64)},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_state_is_refused(odd):
    state = Knn().fit(*made("multiclass")).state()
    arrays = {name: odd.get(name, array) for name, array in state.arrays.items()}
    settings = {name: odd.get(name, value) for name, value in state.settings.items()}
    with pytest.raises(ArtefactError, match="damaged"):
        Knn().restore(HeadState("knn", arrays, settings))
