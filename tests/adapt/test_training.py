"""The loop: what disturbs a training leaves no trace in what it gives, or is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import torch

from headstart.adapt import checkpoint, training
from headstart.adapt.base import Learned, Reading
from headstart.adapt.cuts import anatomy
from headstart.adapt.losses import Objective
from headstart.adapt.recipe import Recipe, learn
from headstart.adapt.settings import Settings
from headstart.adapt.training import Training
from headstart.engines.processor import processor
from headstart.errors import EngineError

TRAIN, TEST = np.arange(36), np.arange(36, 48)
READINGS = (Reading(2, 0.5), Reading(4))
SETTINGS = Settings(epochs=4, batch=8, rate=3e-3, head_rate=1e-3, bf16=False)


def recipe(job, cut: int | None = 0, **changes) -> Recipe:
    at = None if cut is None else anatomy(job.source).cuts[cut]
    views = 3 if at is not None and job.source.modality == "image" else 1
    return replace(Recipe(SETTINGS, at, views=views), **changes)


def alike(a: Learned, b: Learned, tolerance: float = 0.0) -> bool:
    pairs = [*zip(a.scores, b.scores, strict=True), (a.moved.head, b.moved.head), (a.moved.bias, b.moved.bias)]
    assert set(a.moved.weights) == set(b.moved.weights)
    pairs += [(a.moved.weights[name], b.moved.weights[name]) for name in a.moved.weights]
    return all(np.allclose(x, y, rtol=0, atol=tolerance) for x, y in pairs)


def other_folder(job, name: str = "elsewhere"):
    return replace(job, folder=job.folder.parent / name)


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("cut", [0, None])
def test_it_learns_and_the_same_again(make_job, modality, cut) -> None:
    job = make_job(modality)
    how = recipe(job, cut, settings=replace(SETTINGS, epochs=12), head="zero")
    readings = (Reading(0), Reading(12))
    one = learn(job, how, TRAIN, TEST, readings)
    two = learn(other_folder(job), how, TRAIN, TEST, readings)
    assert alike(one, two)
    other = learn(replace(other_folder(job, "third"), seed=1), how, TRAIN, TEST, readings)
    assert not alike(one, other)
    on_train = learn(job, how, TRAIN, TRAIN, readings)
    y = torch.from_numpy(job.target.y[TRAIN])
    before, after = (float(torch.nn.functional.cross_entropy(torch.from_numpy(s), y)) for s in on_train.scores)
    assert after < 0.8 * before


@pytest.mark.parametrize("cut", [0, None])
def test_as_many_threads_give_the_same_bytes_and_another_number_nearly_the_same(make_job, monkeypatch, cut) -> None:
    """Of one number of threads every digit is the same; of another, sums are in another order."""
    job, run, used = make_job("image"), Training.run, []
    monkeypatch.setattr(Training, "run", lambda *given: (used.append(torch.get_num_threads()), run(*given))[1])
    found = {}
    for threads in (1, 2):
        cores = replace(processor(), cores=threads)
        monkeypatch.setattr("headstart.adapt.device.processor", lambda cores=cores: cores)
        same = [learn(other_folder(job, f"{threads} {k}"), recipe(job, cut), TRAIN, TEST, READINGS) for k in range(2)]
        assert alike(*same)
        found[threads] = same[0]
    assert used == [1, 1, 2, 2]
    spread = float(found[1].scores[-1].std())
    np.testing.assert_allclose(found[1].scores[-1], found[2].scores[-1], rtol=0, atol=0.02 * spread)


def test_a_finished_training_is_not_run_again(make_job, monkeypatch) -> None:
    job = make_job("image")
    one = learn(job, recipe(job), TRAIN, TEST, READINGS)
    monkeypatch.setattr(Training, "run", lambda *_: pytest.fail("trained again"))
    assert alike(one, learn(job, recipe(job), TRAIN, TEST, READINGS))


def test_more_steps_than_asked_for_are_not_taken(make_job) -> None:
    """Read half-way, a training is the same as one that goes on."""
    job = make_job("image")
    whole = learn(job, recipe(job), TRAIN, TEST, READINGS)
    half = learn(job, recipe(job), TRAIN, TEST, READINGS[:1])
    np.testing.assert_array_equal(half.scores[0], whole.scores[0])


@pytest.mark.parametrize("stop", [3, 11, 15])
def test_interrupted_anywhere_it_resumes_to_the_same_numbers(make_job, monkeypatch, stop) -> None:
    job = make_job("image")
    whole = learn(other_folder(job), recipe(job), TRAIN, TEST, READINGS)
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.0)
    monkeypatch.setattr(training, "SNAPSHOT", 2)
    step, done = Training._step, []

    def interrupted(self, *arguments):
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(self._standing.step)
        return step(self, *arguments)

    monkeypatch.setattr(Training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn(job, recipe(job), TRAIN, TEST, READINGS)
    monkeypatch.setattr(Training, "_step", lambda self, *a: (done.append(self._standing.step), step(self, *a))[1])
    resumed = learn(job, recipe(job), TRAIN, TEST, READINGS)
    assert done[stop] > 0  # it did not begin anew
    assert len(done) < stop + 20
    assert alike(whole, resumed)
    assert not list(job.folder.glob("*.resume*"))


_SCRIPT = """
import pickle, sys
from dataclasses import replace
import numpy as np
from headstart.adapt import checkpoint, training
from headstart.adapt import device
from headstart.engines.processor import processor
checkpoint._PATIENCE, training.SNAPSHOT = 0.0, 2
device.processor = lambda: replace(processor(), cores=1)
from headstart.adapt.recipe import learn
with open(sys.argv[1], "rb") as file:
    job, recipe, train, test, readings = pickle.load(file)
learned = learn(job, recipe, train, test, readings)
np.savez(sys.argv[2], *learned.scores, head=learned.moved.head)
"""


def test_killed_it_resumes_to_the_same_numbers(make_job, tmp_path) -> None:
    import pickle

    job = make_job("image")
    long = recipe(job, settings=replace(SETTINGS, epochs=40))
    readings = (Reading(20), Reading(40))
    given, result = tmp_path / "given.pickle", tmp_path / "result.npz"
    given.write_bytes(pickle.dumps((job, long, TRAIN, TEST, readings)))
    command = [sys.executable, "-c", _SCRIPT, str(given), str(result)]
    process = subprocess.Popen(command, env=os.environ)
    while not list(Path(job.folder).glob("*.resume.safetensors")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not result.exists()
    subprocess.run(command, check=True, env=os.environ)
    whole = learn(other_folder(job), long, TRAIN, TEST, readings)
    with np.load(result) as found:
        np.testing.assert_array_equal(found["arr_1"], whole.scores[1])
        np.testing.assert_array_equal(found["head"], whole.moved.head)


@pytest.mark.parametrize("at", [0, 7])
def test_a_loss_that_is_no_number_goes_back_and_on_more_slowly(make_job, monkeypatch, at) -> None:
    job = make_job("image")
    total, calls = Objective.total, []

    def spoiled(self, logits, positions):
        calls.append(1)
        return total(self, logits, positions) * (float("nan") if len(calls) == at + 1 else 1.0)

    monkeypatch.setattr(Objective, "total", spoiled)
    learned = learn(job, recipe(job), TRAIN, TEST, READINGS)
    (note,) = learned.notes
    assert "not a number" in note
    assert "x 0.3" in note
    assert all(np.isfinite(s).all() for s in learned.scores)
    steps = 4 * 5
    assert len(calls) == steps + 1 + at % 5  # the spoiled step, and those since the last good state, again


def test_a_loss_that_never_is_a_number_ends_it_in_one_line(make_job, monkeypatch) -> None:
    job = make_job("image")
    monkeypatch.setattr(Objective, "total", lambda self, logits, positions: logits.sum() * float("nan"))
    with pytest.raises(EngineError, match="whatever the learning rate"):
        learn(job, recipe(job), TRAIN, TEST, READINGS)


@pytest.mark.parametrize("where", ["__init__", "run"])
def test_memory_that_is_short_outside_of_a_step_is_told(make_job, monkeypatch, where) -> None:
    """The moments, copies of the weights and readings take memory too; halving the items does not help there."""

    def short(self, *args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Training, where, short)
    job = make_job("image")
    with pytest.raises(EngineError, match=r"^out of memory: choose a strategy that trains less"):
        learn(job, recipe(job), TRAIN, TEST, READINGS)


def test_short_memory_halves_the_micro_batch_and_changes_nothing_else(make_job, monkeypatch) -> None:
    job = make_job("image")
    whole = learn(other_folder(job), recipe(job), TRAIN, TEST, READINGS)
    from headstart.adapt.network import Network

    forward, sizes = Network.forward, []

    def bounded(self, feeds):
        n = len(next(iter(feeds.values())))
        if self.training and n > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sizes.append(n)
        return forward(self, feeds)

    monkeypatch.setattr(Network, "forward", bounded)
    learned = learn(job, recipe(job), TRAIN, TEST, READINGS)
    assert [note.split(":")[0] for note in learned.notes] == ["memory is short"] * 2
    assert "2 items at a time, 8 a step as before" in learned.notes[-1]
    assert max(sizes[:-1]) <= 12
    assert alike(whole, learned, 1e-3)


def test_memory_for_nothing_ends_it_in_one_line(make_job, monkeypatch) -> None:
    from headstart.adapt.network import Network

    forward = Network.forward

    def never(self, feeds):
        if self.training:
            raise MemoryError
        return forward(self, feeds)

    monkeypatch.setattr(Network, "forward", never)
    job = make_job("image")
    with pytest.raises(EngineError, match="out of memory with 1 items"):
        learn(job, recipe(job), TRAIN, TEST, READINGS)


def test_other_errors_are_not_taken_for_short_memory(make_job, monkeypatch) -> None:
    from headstart.adapt.network import Network

    def broken(self, feeds):
        raise ValueError("a mistake")

    monkeypatch.setattr(Network, "forward", broken)
    job = make_job("image")
    with pytest.raises(ValueError, match="a mistake"):
        learn(job, recipe(job), TRAIN, TEST, (Reading(4),))


def test_a_deadline_stops_it_where_it_stands(make_job) -> None:
    job = make_job("image")
    late = replace(job, deadline=time.perf_counter() - 1)
    stopped = learn(late, recipe(job), TRAIN, TEST, READINGS)
    assert "deadline after 0.0 of 4 epochs" in stopped.notes[0]
    assert [s.shape for s in stopped.scores] == [(12, 3)] * 2
    whole = learn(job, recipe(job), TRAIN, TEST, READINGS)  # the stopped one is not taken for finished
    assert whole.notes == ()
    assert not alike(stopped, whole)


def test_a_deadline_within_an_epoch_keeps_what_was_learned_of_it(make_job, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.0)
    job, step, steps = make_job("image"), Training._step, []
    late = replace(job, deadline=time.perf_counter() + 3600)

    def counted(self, *given):
        steps.append(1)
        if len(steps) == 7:  # two of five are done of the second epoch
            object.__setattr__(late, "deadline", time.perf_counter() - 1)
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", counted)
        learn(late, recipe(job), TRAIN, TEST, READINGS)
    (kept,) = [checkpoint._read(path) for path in job.folder.glob("*.resume.safetensors")]
    assert kept.fields["step"] == len(steps) == 7
    assert alike(
        learn(job, recipe(job), TRAIN, TEST, READINGS), learn(other_folder(job), recipe(job), TRAIN, TEST, READINGS)
    )


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_training_that_ended_is_let_go(make_job, let_go, modality) -> None:
    """At once: not when the collector of cycles comes."""
    job = make_job(modality)
    assert let_go(Training, lambda: learn(job, recipe(job), TRAIN, TEST, READINGS))


def test_cached_activations_train_as_the_whole_graph_with_its_lower_part_frozen(make_job, monkeypatch) -> None:
    """Views as they are, without variation on either side; activations are rounded to float16 on one."""
    from headstart.adapt.graph import GraphModule
    from headstart.adapt.inputs import _Images

    job = make_job("image")
    cut = anatomy(job.source).cuts[0]
    cached = learn(job, recipe(job, 0, views=1), TRAIN, TEST, READINGS)
    feeds, load = _Images.feeds, GraphModule.load

    def frozen_below(*arguments, **options):
        body = load(*arguments, **options)
        for initializer, (name, own, _) in body.held.items():
            if initializer.startswith(("stem", "stage1")):
                getattr(body._modules[name], own).requires_grad_(False)
        return body

    monkeypatch.setattr(_Images, "feeds", lambda self, positions, rng: feeds(self, positions, None))
    monkeypatch.setattr(GraphModule, "load", staticmethod(frozen_below))
    uncached = learn(job, recipe(job, None), TRAIN, TEST, READINGS)
    assert set(cached.moved.weights) == set(uncached.moved.weights)
    assert cut.tensor == "stage1.add"
    start = learn(job, recipe(job, 0, views=1), TRAIN, TEST, (Reading(0),))
    moved = max(float(np.abs(cached.moved.weights[n] - start.moved.weights[n]).max()) for n in start.moved.weights)
    apart = max(float(np.abs(cached.moved.weights[n] - uncached.moved.weights[n]).max()) for n in start.moved.weights)
    assert apart < 0.1 * moved
    for a, b in zip(cached.scores, uncached.scores, strict=True):
        np.testing.assert_allclose(a, b, atol=0.05 * np.abs(b).max())


def test_blends_lie_between_the_source_and_the_trained(make_job) -> None:
    job = make_job("image")
    ends = learn(job, recipe(job), TRAIN, TEST, (Reading(0), Reading(4)))
    start = learn(job, recipe(job), TRAIN, TEST, (Reading(0),))
    half = learn(job, recipe(job), TRAIN, TEST, (Reading(4, 0.5),))
    nought = learn(job, recipe(job), TRAIN, TEST, (Reading(4, 0.0),))
    for name, value in half.moved.weights.items():
        wanted = 0.5 * (start.moved.weights[name] + ends.moved.weights[name])
        np.testing.assert_allclose(value, wanted, atol=1e-6)
    np.testing.assert_allclose(nought.scores[0], ends.scores[0], atol=1e-5)


def test_item_weights_count(make_job) -> None:
    """Wrong labels of next to no weight do next to no harm."""
    job = make_job("image")
    wrong = job.target.y.copy()
    wrong[TRAIN[::2]] = (wrong[TRAIN[::2]] + 1) % 3
    spoilt = replace(job, target=replace(job.target, y=wrong))
    weights = np.where(wrong == job.target.y, 1.0, 1e-3)
    sure = []
    for one in (spoilt, replace(other_folder(spoilt), weights=weights)):
        scores = learn(one, recipe(job), TRAIN, TEST, READINGS).scores[-1]
        truth = scores[np.arange(len(TEST)), job.target.y[TEST]]
        sure.append(np.mean(truth == scores.max(axis=1)))
    assert sure[0] < 0.7
    assert sure[1] > 0.9
