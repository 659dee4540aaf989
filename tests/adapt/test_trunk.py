"""Activations of the frozen trunk, views and all, against ONNX Runtime on the whole graph, image by image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("accelerate")

from headstart.adapt import inputs, trunk
from headstart.adapt.activations import item_keys
from headstart.adapt.augment import augment
from headstart.adapt.base import Reading
from headstart.adapt.cuts import anatomy
from headstart.adapt.inputs import inputs_of
from headstart.adapt.recipe import Recipe, learn
from headstart.adapt.settings import Settings
from headstart.adapt.trunk import MIRRORED, PLAIN, image_rows
from headstart.engines.memory import Choice
from headstart.features.images import normalise, pixels

VIEWS = 4
TRAIN, TEST = np.arange(36), np.arange(36, 48)


@pytest.fixture(autouse=True)
def exact(monkeypatch, tmp_path):
    """An engine that does not round, and a cache of the test's own."""
    monkeypatch.setattr(trunk, "choose", lambda source: Choice("onnxruntime", "fp32", 1, 2, 1.0))
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))


def whole_graph(job, tensor: str) -> onnxruntime.InferenceSession:
    """The source's file, with one more output."""
    model = onnx.load(str(job.source.graph))
    model.graph.output.append(onnx.ValueInfoProto(name=tensor))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def shown(job, position: int, view: int) -> np.ndarray:
    """The image as a view has it: as it is, mirrored, or varied with the item's own draws."""
    rgb = pixels(job.items[position], job.source.input)
    if view == PLAIN:
        return rgb
    if view == MIRRORED:
        return np.flip(rgb, axis=1)
    (key,) = item_keys(job.features.matrix, view, [position])
    return augment(rgb, np.random.default_rng([view, int.from_bytes(key[:8], "big")]))


def run_one(session, job, tensor: str, position: int, view: int) -> np.ndarray:
    image = normalise(shown(job, position, view), job.source.input)[None]
    return session.run([tensor], {"image": image})[0][0].astype(np.float16)


def test_rows_are_what_the_graph_says_of_the_varied_images(make_job) -> None:
    job = make_job("image")
    cut = anatomy(job.source).cuts[0]
    session = whole_graph(job, cut.tensor)
    positions = np.arange(0, 48, 5)
    store = image_rows(job, cut, [positions] * VIEWS)
    for view in range(VIEWS):
        rows = store.take(item_keys(job.features.matrix, view, positions))
        for position, row in zip(positions, rows, strict=True):
            np.testing.assert_allclose(row, run_one(session, job, cut.tensor, position, view), rtol=2e-3, atol=2e-3)


def test_the_views_of_an_image_differ_and_test_images_have_one(make_job) -> None:
    job = make_job("image")
    cut = anatomy(job.source).cuts[0]
    found = inputs_of(job, cut, TRAIN, TEST, VIEWS)
    assert [len(keys) for keys in found.keys] == [48, 36, 36, 36]
    rows = [found.rows.take([keys[0]])[0].astype(np.float32) for keys in found.keys]
    apart = [np.abs(a - b).max() for i, a in enumerate(rows) for b in rows[:i]]
    assert min(apart) > 1e-2


def test_each_view_is_drawn_about_as_often(make_job) -> None:
    job = make_job("image")
    cut = anatomy(job.source).cuts[0]
    found = inputs_of(job, cut, TRAIN, TEST, VIEWS)
    of_first = [found.rows.take([keys[0]])[0] for keys in found.keys]
    rng = np.random.default_rng(0)
    drawn = found.feeds(np.zeros(400, np.int64), rng)[cut.tensor]
    counts = [int((drawn == row).reshape(400, -1).all(axis=1).sum()) for row in of_first]
    assert sum(counts) == 400
    assert min(counts) > 60


def test_a_second_training_runs_no_trunk(make_job, monkeypatch) -> None:
    job = make_job("image")
    cut = anatomy(job.source).cuts[0]
    inputs_of(job, cut, TRAIN, TEST, VIEWS)
    monkeypatch.setattr(trunk, "opened", lambda *_: pytest.fail("the trunk was run again"))
    again = inputs_of(job, cut, TRAIN[5:], TEST, VIEWS)
    assert again.feeds(TRAIN[5:9], None)[cut.tensor].shape == (4, *cut.shape)


def test_training_on_kept_activations_is_training_with_the_trunk_recomputed(make_job, monkeypatch) -> None:
    """The same views drawn, each image varied and run through the whole graph again in every step."""
    job = make_job("image")
    cut = anatomy(job.source).cuts[0]
    recipe = Recipe(Settings(epochs=3, batch=12, rate=3e-3, bf16=False), cut, views=VIEWS)
    kept = learn(job, recipe, TRAIN, TEST, (Reading(3),))
    session = whole_graph(job, cut.tensor)

    def recomputed(self, positions, rng):
        views = np.zeros(len(positions), int) if rng is None else rng.integers(VIEWS, size=len(positions))
        rows = [run_one(session, job, cut.tensor, int(p), int(v)) for p, v in zip(positions, views, strict=True)]
        return {cut.tensor: np.stack(rows)}

    monkeypatch.setattr(inputs._ImageViews, "feeds", recomputed)
    fresh = learn(replace(job, folder=job.folder.parent / "fresh"), recipe, TRAIN, TEST, (Reading(3),))
    start = learn(replace(job, folder=job.folder.parent / "start"), recipe, TRAIN, TEST, (Reading(0),))
    np.testing.assert_allclose(kept.scores[0], fresh.scores[0], atol=0.02 * fresh.scores[0].std())
    for name, value in kept.moved.weights.items():
        moved = np.abs(value - start.moved.weights[name]).max()
        assert np.abs(value - fresh.moved.weights[name]).max() < 0.1 * moved, name
    np.testing.assert_allclose(kept.moved.head, fresh.moved.head, atol=0.02 * fresh.moved.head.std())
