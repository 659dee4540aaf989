"""The loop: what disturbs it leaves no trace or is said, and its head is the closed form on the moved features."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from headstart.adapt import checkpoint
from headstart.adapt.base import Learned, Reading
from headstart.adapt.contrastive import BATCH, Contrastive, learn
from headstart.adapt.contrastive_gradient import Gradient
from headstart.adapt.contrastive_training import ContrastiveTraining
from headstart.adapt.cuts import anatomy, last_tap
from headstart.adapt.recipe import Recipe
from headstart.adapt.settings import Settings
from headstart.errors import EngineError
from headstart.features.texts import feeds, load_tokenizer, tokenise
from headstart.heads.logistic import Logistic
from headstart.tasks import Target

TRAIN, TEST = np.arange(36), np.arange(36, 48)
READINGS = (Reading(2, 0.5), Reading(4))
SETTINGS = Settings(epochs=4, batch=64, rate=3e-3, decay=1.0, bf16=False)


def recipe(job, cut: int | None = 0, **changes) -> Recipe:
    at = None if cut is None else anatomy(job.source).cuts[cut]
    views = 3 if at is not None and job.source.modality == "image" else 1
    return replace(Recipe(SETTINGS, at, views=views, taps="last"), **changes)


def alike(a: Learned, b: Learned, tolerance: float = 0.0) -> bool:
    pairs = [*zip(a.scores, b.scores, strict=True), (a.moved.head, b.moved.head), (a.moved.bias, b.moved.bias)]
    assert set(a.moved.weights) == set(b.moved.weights)
    pairs += [(a.moved.weights[name], b.moved.weights[name]) for name in a.moved.weights]
    return all(np.allclose(x, y, rtol=0, atol=tolerance) for x, y in pairs)


def other_folder(job, name: str = "elsewhere"):
    return replace(job, folder=job.folder.parent / name)


def features_of(job, weights, rows) -> np.ndarray:
    """The last tap of texts by ONNX Runtime, one by one, with the given weights in the source's file."""
    model = onnx.load(str(job.source.graph))
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    tokenizer = load_tokenizer(job.source.tokenizer, job.source.input)
    found = []
    for row in rows:
        given = feeds(tokenise([str(job.items[row])], tokenizer, job.source.input), job.source.input)
        found.append(session.run([last_tap(job.source).name], dict(given))[0][0])
    return np.stack(found)


def separation(x: np.ndarray, y: np.ndarray) -> float:
    """How much nearer, by cosine, items of one class are than items of two."""
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine, same = z @ z.T, y[:, None] == y
    return float(cosine[same & ~np.eye(len(y), dtype=bool)].mean() - cosine[~same].mean())


@pytest.mark.parametrize("cut", [0, None])
def test_it_draws_classes_together_and_the_head_is_the_closed_form(make_job, cut) -> None:
    job = make_job("text")
    how = recipe(job, cut, settings=replace(SETTINGS, epochs=20))
    learned = learn(job, how, TRAIN, TEST, (Reading(20),))
    moved = learned.moved
    before, after = (features_of(job, weights, TRAIN) for weights in ({}, moved.weights))
    assert separation(after, job.target.y[TRAIN]) > separation(before, job.target.y[TRAIN]) + 0.3
    fitted = Logistic().fit(after, job.target.take(TRAIN), seed=job.seed)
    expected = fitted.scores(features_of(job, moved.weights, TEST))
    assert np.abs(learned.scores[0] - expected).max() < 0.02 * expected.std()
    assert moved.taps == (last_tap(job.source),)
    by_head = features_of(job, moved.weights, TEST) @ moved.head.T + moved.bias
    assert np.abs(learned.scores[0] - by_head).max() < 0.01 * expected.std()


def test_blends_lie_between_the_source_and_what_was_trained(make_job) -> None:
    job = make_job("text")
    whole = learn(job, recipe(job), TRAIN, TEST, (Reading(4),)).moved.weights
    half = learn(job, recipe(job), TRAIN, TEST, (Reading(4, 0.5),)).moved.weights
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(job.source.graph)).graph.initializer}
    assert set(half) == set(whole)
    for name, value in half.items():
        np.testing.assert_allclose(value, (stored[name] + whole[name]) / 2, atol=1e-6)


def test_read_before_the_first_step_it_is_the_probe(make_job) -> None:
    job = make_job("text")
    learned = learn(job, recipe(job), TRAIN, TEST, (Reading(0), Reading(4)))
    fitted = Logistic().fit(features_of(job, {}, TRAIN), job.target.take(TRAIN), seed=job.seed)
    expected = fitted.scores(features_of(job, {}, TEST))
    assert np.abs(learned.scores[0] - expected).max() < 0.02 * expected.std()


@pytest.mark.parametrize("modality", ["image", "text"])
def test_the_same_again_and_another_seed_another(make_job, modality) -> None:
    job = make_job(modality)
    how = recipe(job, settings=replace(SETTINGS, batch=12))  # three steps an epoch, drawn
    one, two = (learn(j, how, TRAIN, TEST, READINGS) for j in (job, other_folder(job)))
    assert alike(one, two)
    third = learn(replace(other_folder(job, "third"), seed=1), how, TRAIN, TEST, READINGS)
    assert not alike(one, third)


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_interrupted_anywhere_it_resumes_to_the_same_numbers(make_job, monkeypatch, stop) -> None:
    job = make_job("image")
    how = recipe(job, settings=replace(SETTINGS, batch=12))
    whole = learn(other_folder(job), how, TRAIN, TEST, READINGS)
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.0)
    step, done = ContrastiveTraining._step, []

    def interrupted(self):
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(self._standing.step)
        return step(self)

    monkeypatch.setattr(ContrastiveTraining, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn(job, how, TRAIN, TEST, READINGS)
    monkeypatch.setattr(ContrastiveTraining, "_step", lambda self: (done.append(self._standing.step), step(self))[1])
    resumed = learn(job, how, TRAIN, TEST, READINGS)
    assert done == list(range(12))  # none twice
    assert alike(whole, resumed)
    assert not list(job.folder.glob("*.resume*"))


def failing(monkeypatch, error: BaseException | None, times: int) -> list[int]:
    """Make the first gradients fail: by an error, or by a loss that is no number."""
    add, calls = Gradient.add, []

    def fail(self, feeds, parts, loss):
        calls.append(self.bytes_held)
        if len(calls) > times:
            return add(self, feeds, parts, loss)
        if error is not None:
            raise error
        return add(self, feeds, parts, lambda z: loss(z) * float("nan"))

    monkeypatch.setattr(Gradient, "add", fail)
    return calls


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_short_memory_changes_nothing_but_is_said(make_job, monkeypatch, error) -> None:
    job = make_job("text")
    plain = learn(other_folder(job), recipe(job), TRAIN, TEST, READINGS)
    calls = failing(monkeypatch, error, 2)
    learned = learn(job, recipe(job), TRAIN, TEST, READINGS)
    assert calls[0] > 0
    assert set(calls[1:]) == {0}
    assert len(learned.notes) == 2
    assert all("memory is short" in note for note in learned.notes)
    assert alike(plain, learned, 0.05)


def test_memory_that_never_suffices_is_an_error(make_job, monkeypatch) -> None:
    failing(monkeypatch, MemoryError(), 1000)
    job = make_job("image")
    with pytest.raises(EngineError, match="out of memory with one item"):
        learn(job, recipe(job), TRAIN, TEST, READINGS)


def test_other_errors_are_not_hidden(make_job, monkeypatch) -> None:
    failing(monkeypatch, RuntimeError("shapes differ"), 1)
    job = make_job("text")
    with pytest.raises(RuntimeError, match="shapes differ"):
        learn(job, recipe(job), TRAIN, TEST, READINGS)


def test_a_loss_that_is_no_number_goes_back(make_job, monkeypatch) -> None:
    job = make_job("text")
    plain = learn(other_folder(job), recipe(job), TRAIN, TEST, READINGS)
    failing(monkeypatch, None, 1)
    learned = learn(job, recipe(job), TRAIN, TEST, READINGS)
    assert learned.notes == ("the loss was not a number in step 1: went back, and on with learning rates x 0.3",)
    assert all(np.isfinite(s).all() for s in learned.scores)
    moved = [np.abs(a.moved.weights[n] - b).max() for a in (learned, plain) for n, b in stored_of(job, a).items()]
    assert sum(moved[: len(moved) // 2]) < 0.6 * sum(moved[len(moved) // 2 :])  # slower


def stored_of(job, learned: Learned) -> dict[str, np.ndarray]:
    found = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(job.source.graph)).graph.initializer}
    return {name: found[name] for name in learned.moved.weights}


def test_a_loss_that_is_never_a_number_is_an_error(make_job, monkeypatch) -> None:
    failing(monkeypatch, None, 1000)
    job = make_job("text")
    with pytest.raises(EngineError, match="not a number 6 times"):
        learn(job, recipe(job), TRAIN, TEST, READINGS)


def test_without_two_of_a_class_the_source_stays(make_job) -> None:
    job = make_job("text")
    train = np.array([0, 1, 2])  # one of each kind
    learned = learn(job, recipe(job), train, TEST, READINGS)
    assert "no two training items share a class" in learned.notes[0]
    for name, value in stored_of(job, learned).items():
        np.testing.assert_array_equal(learned.moved.weights[name], value)
    assert all(np.isfinite(s).all() for s in learned.scores)


def test_the_deadline_stops_it_and_another_run_goes_further(make_job, monkeypatch) -> None:
    job = make_job("text")
    step = ContrastiveTraining._step
    late = replace(job, deadline=time.perf_counter() + 3600)

    def slow(self):
        object.__setattr__(late, "deadline", time.perf_counter() - 1)
        return step(self)

    monkeypatch.setattr(ContrastiveTraining, "_step", slow)
    cut_short = learn(late, recipe(job), TRAIN, TEST, READINGS)
    assert cut_short.notes == ("stopped at its deadline after 1 of 4 steps",)
    assert len(cut_short.scores) == 2
    monkeypatch.setattr(ContrastiveTraining, "_step", step)
    assert alike(
        learn(job, recipe(job), TRAIN, TEST, READINGS), learn(other_folder(job), recipe(job), TRAIN, TEST, READINGS)
    )


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_training_that_ended_is_let_go(make_job, let_go, modality) -> None:
    """At once: not when the collector of cycles comes."""
    job = make_job(modality)
    assert let_go(ContrastiveTraining, lambda: learn(job, recipe(job), TRAIN, TEST, READINGS))


def test_item_weights_count(make_job) -> None:
    job = make_job("text")
    one = learn(job, recipe(job), TRAIN, TEST, READINGS)
    even = learn(replace(job, weights=np.ones(48)), recipe(job), TRAIN, TEST, READINGS)
    some = learn(replace(job, weights=np.where(np.arange(48) % 2, 1.0, 0.1)), recipe(job), TRAIN, TEST, READINGS)
    assert alike(one, even, 1e-4)
    assert not alike(one, some, 1e-2)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_about_half_of_the_work_trains(make_job, modality) -> None:
    job = make_job(modality)
    how = Contrastive().recipe(job, 100)
    assert how.cut is not None
    assert how.cut.share <= 0.55
    assert how.views == (4 if modality == "image" else 1)


def test_steps_stay_few_as_items_grow_many(make_job) -> None:
    job, strategy = make_job("text"), Contrastive()
    assert strategy.recipe(job, 20).settings.epochs == 10
    assert strategy.recipe(job, BATCH).settings.epochs == 10
    assert strategy.recipe(job, 2 * BATCH + 1).settings.epochs == 4  # of three steps each
    assert strategy.recipe(job, 100 * BATCH).settings.epochs == 3


def test_numbers_are_refused(make_job) -> None:
    job = make_job("text")
    numbers = replace(job, target=Target("regression", np.arange(48.0), ("value",)))
    assert Contrastive().reason_not(job) is None
    assert Contrastive().reason_not(numbers) == "numbers have no classes to draw together"
