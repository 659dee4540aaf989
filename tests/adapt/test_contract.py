"""What every strategy owes, on every strategy that is registered, with small sources of images, texts and sounds."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("peft")

from headstart import registry
from headstart.adapt.base import Job, Learned, Reading, Strategy
from headstart.features.files import read_file
from headstart.features.images import prepare
from headstart.features.pooling import pool
from headstart.features.sound_reader import SoundReader
from headstart.features.texts import feeds, load_tokenizer, tokenise
from headstart.sources.base import GRAPH_FILE
from headstart.tasks import Target

GROUP = "headstart.strategies"
TRAIN, TEST = np.arange(24), np.arange(36, 48)
READINGS = (Reading(1), Reading(2, 0.5), Reading(2))


@pytest.fixture(params=registry.names(GROUP))
def strategy(request: pytest.FixtureRequest) -> Strategy:
    found: Strategy = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@pytest.fixture(params=["image", "text", "sound"])
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def served(strategy: Strategy, job: Job) -> Job:
    """The job, where the strategy serves such ones."""
    if reason := strategy.reason_not(job):
        assert "\n" not in reason
        pytest.skip(reason)
    return job


def elsewhere(job: Job) -> Job:
    return replace(job, folder=job.folder.parent / "elsewhere")


def as_onnx_runs_it(job: Job, learned: Learned, rows: np.ndarray) -> np.ndarray:
    """The scores of the source's file with the moved weights in it, item by item, and the moved head."""
    model, moved = onnx.load(str(job.source.graph)), learned.moved
    for tensor in model.graph.initializer:
        if tensor.name in moved.weights:
            tensor.CopyFrom(numpy_helper.from_array(moved.weights[tensor.name], tensor.name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    how, found = job.source.input, []
    names = [tap.name for tap in moved.taps]
    for row in rows:
        if how.kind == "sound":
            windows = SoundReader().see(read_file(Path(job.items[row])), how, described=False).values
            said = [np.concatenate(session.run(names, one), axis=1) for one in windows]
            found.append(pool(np.concatenate(said), moved.taps))
            continue
        if how.kind == "image":
            given = {"image": prepare(Path(job.items[row]), how)[None]}
        else:
            given = feeds(tokenise([str(job.items[row])], load_tokenizer(job.source.tokenizer, how), how), how)
        taps = session.run(names, dict(given))
        found.append(np.concatenate(taps, axis=1)[0])
    return np.stack(found).astype(np.float64) @ moved.head.T.astype(np.float64) + moved.bias


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_scores_and_moved_weights_fit_the_job(strategy, modality, task, make_job) -> None:
    job = served(strategy, make_job(modality, task))
    learned = strategy.learn(job, TRAIN, TEST, READINGS)
    assert [s.shape for s in learned.scores] == [(12, job.target.n_outputs)] * len(READINGS)
    assert all(s.dtype == np.float64 and np.isfinite(s).all() for s in learned.scores)
    assert not np.array_equal(learned.scores[0], learned.scores[-1])
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(job.source.graph)).graph.initializer}
    moved = learned.moved
    assert moved.weights
    for name, value in moved.weights.items():
        assert value.dtype == np.float32
        assert value.shape == stored[name].shape
    assert any(not np.array_equal(value, stored[name]) for name, value in moved.weights.items())
    assert set(moved.taps) <= set(job.source.taps)
    assert moved.head.shape == (job.target.n_outputs, sum(tap.width for tap in moved.taps))
    assert moved.bias.shape == (job.target.n_outputs,)
    assert all("\n" not in note for note in learned.notes)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_what_is_given_back_scores_as_the_training_said(strategy, modality, task, make_job) -> None:
    """Saved and loaded anew: LoRA merged, batch normalisation folded in, the head included."""
    job = served(strategy, make_job(modality, task))
    learned = strategy.learn(job, TRAIN, TEST, READINGS)
    found = as_onnx_runs_it(job, learned, TEST)
    assert np.abs(found - learned.scores[-1]).max() <= 0.03 * learned.scores[-1].std()


def test_the_same_job_gives_the_same_numbers(strategy, modality, make_job) -> None:
    job = served(strategy, make_job(modality))
    one, two = (strategy.learn(j, TRAIN, TEST, READINGS) for j in (job, elsewhere(job)))
    again = strategy.learn(job, TRAIN, TEST, READINGS)  # known by now
    for other in (two, again):
        for a, b in zip(one.scores, other.scores, strict=True):
            np.testing.assert_array_equal(a, b)
        for name, value in one.moved.weights.items():
            np.testing.assert_array_equal(value, other.moved.weights[name])
        np.testing.assert_array_equal(one.moved.head, other.moved.head)


def test_labels_of_other_rows_are_not_looked_at(strategy, modality, make_job) -> None:
    job = served(strategy, make_job(modality))
    unknown = job.target.y.copy()
    unknown[24:] = 0
    blind = replace(elsewhere(job), target=Target("multiclass", unknown, job.target.classes))
    one, two = (strategy.learn(j, TRAIN, TEST, READINGS) for j in (job, blind))
    for a, b in zip(one.scores, two.scores, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_class_that_is_rare_or_absent(strategy, make_job) -> None:
    job = served(strategy, make_job("image"))
    kinds = np.flatnonzero(job.target.y == 0)[:8], np.flatnonzero(job.target.y == 1)[:1]
    learned = strategy.learn(job, np.concatenate(kinds), TEST, READINGS)
    assert all(np.isfinite(s).all() for s in learned.scores)


def test_readings_ascend_and_take_some_of_the_way(strategy, modality, make_job) -> None:
    job = served(strategy, make_job(modality))
    for rows in (4, 24, 2000):
        readings = strategy.readings(job, rows)
        assert readings
        assert list(readings) == sorted(set(readings))
        assert all(r.epoch >= 1 and 0 < r.blend <= 1 for r in readings)


def test_time_grows_with_the_rows(strategy, modality, make_job) -> None:
    job = served(strategy, make_job(modality))
    few, many = strategy.estimated_seconds(job, 1000), strategy.estimated_seconds(job, 20_000)
    assert 0 < few < many < math.inf
    assert 0 <= strategy.preparing_seconds(job, 1000) <= strategy.preparing_seconds(job, 20_000) < math.inf


def test_a_deadline_is_kept_and_said(strategy, modality, make_job) -> None:
    job = served(strategy, make_job(modality))
    learned = strategy.learn(replace(job, deadline=time.perf_counter() - 1), TRAIN, TEST, READINGS)
    assert any("deadline" in note for note in learned.notes)
    assert all(np.isfinite(s).all() for s in learned.scores)
    assert strategy.learn(job, TRAIN, TEST, READINGS).notes == ()


@pytest.mark.parametrize("missing", ["torch", "accelerate"])
def test_without_its_packages_the_install_line_is_said(strategy, make_job, monkeypatch, missing) -> None:
    job = make_job("text")
    monkeypatch.setattr(
        "headstart.optional.importlib.util.find_spec", lambda name: None if name == missing else object()
    )
    reason = str(strategy.reason_not(job))
    assert missing in reason
    assert "pip install 'headstart[torch]'" in reason


def test_a_graph_that_only_runs_is_not_tried(strategy, make_job, tmp_path) -> None:
    job = make_job("image")
    model = onnx.load(str(job.source.graph))
    last = next(node for node in model.graph.node if "head.mean" in node.output)
    position = list(model.graph.node).index(last)
    model.graph.node.insert(position, helper.make_node("Sin", [last.input[0]], ["sine"]))
    last.input[0] = "sine"
    (tmp_path / "odd").mkdir()
    onnx.save(model, str(tmp_path / "odd" / GRAPH_FILE))
    source = replace(job.source, directory=tmp_path / "odd", fingerprint="f" * 64)
    assert "no operator Sin" in str(strategy.reason_not(replace(job, source=source)))
