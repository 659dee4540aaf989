"""Which candidates run, which are left out and said, and what ships."""

from __future__ import annotations

import time

import numpy as np
import pytest

from headstart.data.splits import folds
from headstart.errors import OptionError
from headstart.features.blocks import Features
from headstart.plan.candidates import baselines, frozen_heads
from headstart.plan.crossfit import Problem
from headstart.plan.decision import decide
from headstart.plan.race import Race, run_all
from headstart.plan.views import HogView, SourceView
from headstart.sources.base import Tap
from headstart.tasks import Target

TAPS = (Tap("early.mean", 0, "mean", 6), Tap("late.mean", 1, "mean", 6))


class _Origin:
    def __init__(self, name: str, parameters: int = 1_000_000) -> None:
        self.name = name
        self.parameters = parameters
        self.taps = TAPS


def case(*, source_signal: float, plain_signal: float, n: int = 120) -> tuple[Race, SourceView, HogView]:
    """A binary problem whose label shows in the source's last layer, in the plain view, or in both."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], n // 2)
    known = rng.normal(size=(n, 12))
    known[:, 6] += source_signal * y
    plain = rng.normal(size=(n, 8))
    plain[:, 0] += plain_signal * y
    target = Target("binary", y, ("a", "b"))
    race = Race(Problem(target, folds(target, k=5, seed=0), None, None, 0))
    view = SourceView(Features(TAPS, known.astype(np.float16)), _Origin("made"), TAPS, "all")
    return race, view, HogView(plain.astype(np.float16))


def test_every_kind_of_candidate_runs_once():
    race, view, plain = case(source_signal=3, plain_signal=0)
    transfer, baseline = run_all(race, plain, [view], ["ridge", "means"])
    names = [scored.candidate.strategy for scored in transfer]
    assert sorted(names)[:1] == ["frozen-means-" + names[-1].rpartition("-")[2]]
    assert {"frozen-ridge-last", "frozen-ridge-all"} <= set(names)
    assert [scored.candidate.strategy for scored in baseline] == ["hog-ridge", "hog-boosted-trees"]
    assert len(race.scored) == len(transfer) + len(baseline)


def test_logistic_regression_always_sees_the_last_layer():
    race, view, plain = case(source_signal=3, plain_signal=0)
    transfer, _ = run_all(race, plain, [view], ["ridge", "logistic"])
    assert "frozen-logistic-last" in [scored.candidate.strategy for scored in transfer]


def test_two_sources_are_also_fused():
    race, view, plain = case(source_signal=3, plain_signal=0)
    other = SourceView(view.features, _Origin("other"), TAPS, "all")
    transfer, _ = run_all(race, plain, [view, other], ["ridge"])
    assert transfer[-1].candidate.source == "made+other"


def test_transfer_that_pays_ships():
    race, view, plain = case(source_signal=4, plain_signal=0)
    decision = decide(*run_all(race, plain, [view], ["ridge"]), race.problem)
    assert decision.verdict.transfer_helps
    assert decision.chosen is decision.transfer
    assert decision.verdict.gain.low > 0.2
    assert decision.estimate.value <= decision.estimate.naive


def test_transfer_that_does_not_pay_is_not_shipped():
    race, view, plain = case(source_signal=0, plain_signal=4)
    decision = decide(*run_all(race, plain, [view], ["ridge"]), race.problem)
    assert not decision.verdict.transfer_helps
    assert decision.chosen is decision.baseline
    assert decision.verdict.gain.high < 0
    assert "does not pay" in decision.verdict.text


def test_a_tie_goes_to_the_baseline():
    race, view, plain = case(source_signal=4, plain_signal=4)
    decision = decide(*run_all(race, plain, [view], ["ridge"]), race.problem)
    assert not decision.verdict.transfer_helps
    assert decision.chosen is decision.baseline


def test_without_a_source_the_baseline_ships():
    race, _, plain = case(source_signal=0, plain_signal=2)
    decision = decide(*run_all(race, plain, [], ["ridge"]), race.problem)
    assert decision.transfer is None
    assert "no source" in decision.verdict.text


def test_past_the_deadline_one_candidate_a_side_still_runs_and_the_rest_is_said():
    race, view, plain = case(source_signal=3, plain_signal=0)
    race.deadline = time.perf_counter() - 1
    transfer, baseline = run_all(race, plain, [view], ["ridge", "knn"])
    assert len(transfer) == len(baseline) == 1
    assert len(race.skipped) == 3
    assert all("was not tried" in line for line in race.skipped)


def test_named_strategies_restrict_the_heads():
    assert frozen_heads(["frozen-knn", "ridge"], "binary") == ["ridge", "knn"]
    assert frozen_heads(["frozen"], "binary") == frozen_heads([], "binary")
    assert "means" not in frozen_heads([], "regression")
    assert frozen_heads([], "multiclass", 1_000) == ["ridge", "logistic"]
    assert "means" in frozen_heads([], "multiclass", 8)
    with pytest.raises(OptionError, match="'frozen-logistic'"):
        frozen_heads(["frozen-logstic"], "binary")


def test_boosted_trees_are_left_out_of_many_classes():
    plain = HogView(np.zeros((3, 4), np.float16))
    assert [c.head_name for c in baselines(plain, "multiclass", 77)] == ["ridge"]
    assert [c.head_name for c in baselines(plain, "multiclass", 5)] == ["ridge", "boosted-trees"]
