"""The race of what moves weights: the order, the rungs, what is dropped, and how it goes on through what goes wrong."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import EngineError, MissingLayerError, StorageError
from headstart.plan.belief import Belief
from headstart.plan.pace import Pace
from headstart.plan.runner import Runner
from headstart.plan.steps import Plan
from headstart.plan.subset import ITEMS
from headstart.plan.tuning import TuningRace


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that only the tests move: by what sleeps, and by a tenth of a millisecond with each look at it."""
    now = 0.0

    def look():
        nonlocal now
        now += 1e-4
        return now

    def sleep(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "perf_counter", look)
    monkeypatch.setattr(time, "sleep", sleep)


class Watch:
    """Takes what has all its folds; ships what beats the last one."""

    def __init__(self, bar: float) -> None:
        self.scored = []
        self.best = bar

    def __call__(self, scored) -> bool:
        self.scored.append(scored)
        better = scored.mean > self.best
        self.best = max(self.best, scored.mean)
        return better


def race(case, *candidates, seconds: float | None = 60.0):
    watch, plan = Watch(case.bar.mean), Plan()
    deadline = None if seconds is None else time.perf_counter() + seconds
    TuningRace(case.problem, case.bar, watch, plan, deadline).run(candidates)
    return watch, plan


def test_without_a_limit_every_candidate_gets_all_folds_in_the_given_order(make_case):
    case = make_case()
    bad = case.tuned(name="bad", hidden=np.zeros((90, 6)))
    good = case.tuned(name="good")
    watch, plan = race(case, bad, good, seconds=None)
    assert [one.candidate.strategy for one in watch.scored] == ["bad", "good"]
    assert [len(one.candidate.learner.log) for one in watch.scored] == [3, 3]
    assert [step.reason for step in plan.steps] == ["asked for"] * 2
    assert plan.steps[0].outcome.endswith("not enough to ship")
    assert plan.steps[1].outcome.endswith("ships")


def test_rungs_grow_and_the_gain_is_measured_on_the_same_items(make_case):
    case = make_case(n=150, k=5)
    good = case.tuned()
    watch, plan = race(case, good)
    assert [step.outcome.partition(" on ")[2].split(",")[0] for step in plan.steps] == [
        "1 of 5 folds", "2 of 5 folds", "5 of 5 folds"
    ]  # fmt: skip
    assert plan.steps[-1].outcome.endswith("ships")
    (scored,) = watch.scored
    gain = 100 * (scored.mean - case.bar.mean)
    assert plan.steps[-1].outcome.startswith(f"{gain:+.1f} ±")
    assert np.array_equal(scored.out_of_fold.scores, case.tuned().crossfit(case.problem).scores)
    assert [step.step for step in plan.steps] == [1, 2, 3]


def test_the_hopeless_are_dropped_after_one_fold(make_case):
    case = make_case(n=300, weak=4)
    bad = case.tuned(hidden=np.zeros((300, 6)), epochs=(1,))
    watch, plan = race(case, bad)
    assert not watch.scored
    assert len(bad.learner.log) == 1
    assert plan.steps[-1].outcome.endswith("dropped")


def test_many_labels_are_tried_on_few_first(make_case):
    case = make_case(n=3 * ITEMS * 2, k=2, weak=3)
    rate = {"estimate": 1e-4, "by_row": True}
    good = case.tuned(name="good", **rate)
    bad = case.tuned(name="bad", hidden=np.zeros((3 * ITEMS * 2, 6)), epochs=(1,), **rate)
    dear = case.tuned(name="dear", hidden=bad.learner.hidden, epochs=(1,))  # few labels take it as long as many
    watch, plan = race(case, good, bad, dear)
    assert len(dear.learner.log[0][0]) == 3 * ITEMS
    for candidate in (good, bad):
        assert abs(len(candidate.learner.log[0][0]) - ITEMS) <= 2
    assert len(bad.learner.log) == 1
    assert [one.candidate.strategy for one in watch.scored] == ["good"]
    assert any(f"with {len(good.learner.log[0][0])} labels" in step.outcome for step in plan.steps)


def test_the_most_improvement_a_second_goes_first(make_case):
    case = make_case()
    slow, quick = case.tuned(name="last-stages", estimate=5.0), case.tuned(name="lp-ft", estimate=0.5)
    unknown = case.tuned(name="of a plug-in", estimate=0.5)
    _, plan = race(case, slow, unknown, quick)
    assert plan.steps[0].candidate.endswith("lp-ft")
    assert "gain expected" in plan.steps[0].reason
    assert "gain believed" in plan.steps[1].reason


@pytest.mark.parametrize("known", [True, False])
def test_a_fold_that_an_earlier_fit_trained_says_nothing_of_the_pace(make_case, monkeypatch, known):
    case, pace = make_case(), Pace()
    candidate = case.tuned(name="lora", estimate=50.0)
    kind = type(candidate.learner)
    learn = kind.learn
    monkeypatch.setattr(kind, "learn", lambda *given: replace(learn(*given), known=known))
    runner = Runner.of(candidate, case.problem, None, 0.3)
    assert runner.train(runner.trial, 0, None, pace)
    assert (pace.seconds("lora", 50.0) == 50.0) == known


@pytest.mark.parametrize(("seconds", "goes_on"), [(60.0, "lora"), (6.5, "lp-ft")])
def test_what_was_started_is_left_for_another_only_where_it_could_still_be_finished(make_case, seconds, goes_on):
    """A second a training, two for shipping: each needs 6 seconds to its end, and 1 for a fold."""
    case = make_case()
    started, other = (
        Runner.of(case.tuned(name=name, estimate=1.0), case.problem, None, 0.3) for name in ("lp-ft", "lora")
    )
    started.started, started.belief = True, Belief(0.001, 0.01)
    race = TuningRace(case.problem, case.bar, Watch(1.0), Plan(), time.perf_counter() + seconds)
    assert race._next([started, other]).candidate.learner.name == goes_on


def test_what_does_not_fit_the_time_is_not_started_and_said(make_case):
    case = make_case()
    slow = case.tuned(estimate=100.0)
    watch, plan = race(case, slow)
    assert not slow.learner.log
    assert not watch.scored
    (step,) = plan.steps
    assert step.reason == "not tried"
    assert "about 102 s needed at least, " in step.outcome  # at a quarter of the epochs


def test_a_training_that_takes_longer_than_the_time_is_cut(make_case):
    case = make_case()
    slow = case.tuned(sleeps=10.0)
    start = time.perf_counter()
    watch, plan = race(case, slow, seconds=3.0)
    assert time.perf_counter() - start < 5
    assert not watch.scored
    assert plan.steps[-1].outcome == "out of time"


@pytest.mark.parametrize(
    "error",
    [
        EngineError("the graph cannot be trained"),
        MissingLayerError("torch is not installed"),
        StorageError("the disk is full"),
        OSError(28, "No space left on device"),
        MemoryError(),
        IndexError("a mistake\nof a plug-in"),
    ],
)
def test_a_strategy_that_fails_is_left_out_and_the_race_goes_on(make_case, error):
    case = make_case()
    watch, plan = race(case, case.tuned(name="last-stages", raises=error), case.tuned(name="lora"))
    assert [one.candidate.strategy for one in watch.scored] == ["lora"]
    (failed,) = [step for step in plan.steps if step.candidate.endswith("last-stages")]
    assert failed.outcome.startswith("left out: ")


@pytest.mark.parametrize("seconds", [None, 60.0])
@pytest.mark.parametrize("asked", ["readings", "estimated_seconds", "preparing_seconds"])
def test_a_strategy_that_cannot_say_what_it_takes_is_left_out(make_case, asked, seconds):
    case = make_case()
    broken = case.tuned(name="broken")

    def mistake(*_):
        raise ZeroDivisionError("division by zero")

    setattr(broken.learner, asked, mistake)
    watch, plan = race(case, broken, case.tuned(name="lora"), seconds=seconds)
    assert "lora" in [one.candidate.strategy for one in watch.scored]
    if seconds is not None or asked == "readings":  # without a limit no time is asked for
        (failed,) = [step for step in plan.steps if step.candidate.endswith("broken")]
        assert failed.outcome == "left out: internal error: ZeroDivisionError: division by zero (please report)"


def test_a_model_that_cannot_be_shipped_is_left_out(make_case):
    case, plan = make_case(), Plan()

    def full(scored):
        raise StorageError("no space left")

    TuningRace(case.problem, case.bar, full, plan).run([case.tuned(), case.tuned(name="lora")])
    assert [step.outcome for step in plan.steps] == ["left out: no space left"] * 2


def test_an_interruption_ends_the_race_and_stands_in_the_plan(make_case):
    case, plan = make_case(), Plan()
    stopped = case.tuned(raises=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        TuningRace(case.problem, case.bar, Watch(0), plan).run([case.tuned(name="first"), stopped])
    assert [step.outcome.split(", ")[-1] for step in plan.steps] == ["ships", "interrupted"]


def test_groups_widen_the_error(make_case):
    case = make_case(n=90, groups=np.arange(90) // 9, weak=2)
    _, plan = race(case, case.tuned(), seconds=None)
    alone = make_case(n=90, weak=2)
    _, other = race(alone, alone.tuned(), seconds=None)
    errors = [float(p.steps[0].outcome.split("± ")[1].split()[0]) for p in (plan, other)]
    assert errors[0] != errors[1]


def test_steps_are_told_as_they_are_taken(make_case):
    case = make_case()
    said: list[str] = []
    plan = Plan()
    plan.progress = type("Ear", (), {"say": lambda self, line: said.append(line)})()
    TuningRace(case.problem, case.bar, Watch(0), plan).run([case.tuned()])
    (line,) = said
    assert line.startswith("plan 1: made · fake (asked for): +")
    assert plan.json()[0].keys() == {"step", "candidate", "reason", "seconds", "outcome"}


def test_where_time_is_short_fewer_epochs_are_trained(make_case):
    case = make_case()
    long = case.tuned(estimate=30.0)  # three folds and the last training: 120 s, of half of the epochs 60 s
    watch, plan = race(case, long, seconds=70.0)
    (scored,) = watch.scored
    assert scored.out_of_fold.reading.epoch <= 2
    assert plan.steps[0].reason.endswith("points, 50% of the epochs, about 62 s")


def test_where_time_is_short_and_items_are_many_fewer_folds_are_trained(make_case):
    case = make_case(n=900, k=5, weak=0.5)
    long = case.tuned(estimate=10.0)  # five folds and the last training: 60 s; three folds test 540 items
    watch, plan = race(case, long, seconds=45.0)
    assert plan.steps[0].reason.endswith("points, 3 of 5 folds, about 42 s")
    assert watch.scored[0].folds == 5  # it was faster than that
    _, plan = race(case, case.tuned(estimate=10.0), seconds=25.0)
    assert "5 of 5 folds" not in plan.steps[0].reason
    assert plan.steps[0].reason.endswith("points, 3 of 5 folds, 50% of the epochs, about 22 s")


def test_folds_that_were_trained_count_where_the_time_runs_out(make_case):
    case = make_case(n=900, k=5, weak=0.5)
    slower = case.tuned(estimate=0.01, sleeps=1.0)
    watch, plan = race(case, slower, seconds=7.5)
    (scored,) = watch.scored
    assert 3 <= scored.folds < 5
    assert len(scored.item_scores) == 180 * scored.folds
    assert plan.steps[-1].outcome.endswith("ships")


def test_what_seems_too_slow_waits_for_what_is_measured(make_case):
    case = make_case()
    quick = case.tuned(name="last-stages", estimate=1.0)  # a thousand times faster than it thinks
    slow = case.tuned(name="full", estimate=100.0)
    _, plan = race(case, slow, quick)
    assert len(slow.learner.log) > 0
    assert plan.steps[0].candidate.endswith("last-stages")
    assert "of the epochs" not in next(step.reason for step in plan.steps if step.candidate.endswith("full"))
    assert not [step for step in plan.steps if step.reason == "not tried"]


def test_preparing_the_items_counts_once(make_case):
    case = make_case()
    n = len(case.problem.target)
    prepared = case.tuned(estimate=1.0, prepares=20.0 / n)  # three folds, the last training, and 20 s once
    _, plan = race(case, prepared, seconds=30.0)
    assert plan.steps[0].reason.endswith("about 26 s")
    assert plan.steps[1].reason.endswith((" 0 s", " 1 s", " 2 s", " 3 s"))  # it took no time, and is not to come again
