"""Which candidates run, which are left out and said, and what ships."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.data.splits import folds
from headstart.errors import OptionError
from headstart.evidence.optimism import Candidates, corrected
from headstart.features.blocks import Features
from headstart.plan import bases
from headstart.plan.candidates import Frozen, baselines, frozen, frozen_heads
from headstart.plan.crossfit import OutOfFold, Problem
from headstart.plan.decision import decide, frozen_first
from headstart.plan.race import Race, run_all
from headstart.plan.scored import Scored
from headstart.plan.trial import Trial
from headstart.plan.views import FusedView, HogView, SourceView
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


@pytest.mark.parametrize("head", ["ridge", "kernel", "logistic", "means", "knn"])
def test_scores_of_many_classes_need_memory(head):
    """Each head holds several scores of every item for every class: 400 MB each of 10,000 items and 5,000 classes."""
    view = HogView(np.zeros((10_000, 8), np.float16))
    target = Target("multiclass", np.arange(10_000) % 5_000, tuple(map(str, range(5_000))))
    many = Problem(target, [], None, None, 0)
    few = Problem(Target("multiclass", target.y % 2, ("a", "b")), [], None, None, 0)
    needed, least = (Frozen(view, head, head).estimated_bytes(problem) for problem in (many, few))
    assert needed > 4 * 10_000 * 5_000 * 8 > least - 32 * 10_000**2


def test_logistic_regression_always_sees_the_last_layer():
    race, view, plain = case(source_signal=3, plain_signal=0)
    transfer, _ = run_all(race, plain, [view], ["ridge", "logistic"])
    assert "frozen-logistic-last" in [scored.candidate.strategy for scored in transfer]


def test_what_ridge_factorised_of_a_sources_layers_logistic_regression_takes(monkeypatch):
    made = []
    factorise = bases.factorise
    monkeypatch.setattr(bases, "factorise", lambda x, weights: made.append(x.shape[1]) or factorise(x, weights))
    race, view, plain = case(source_signal=3, plain_signal=0)
    transfer, _ = run_all(race, plain, [view], ["ridge", "logistic"])
    assert len([one for one in transfer if "logistic" in one.candidate.strategy]) >= 1
    assert sorted(made) == [6] * 5 + [12] * 5
    assert race.bases is None


def test_bases_give_way_to_a_candidate_that_needs_the_memory(monkeypatch):
    monkeypatch.setattr(Frozen, "estimated_bytes", lambda self, problem: 10_000 if self.head_name == "means" else 0)
    race, view, _ = case(source_signal=3, plain_signal=0)
    race.bases, race.most_bytes = bases.Bases(), 10_000
    race.run([frozen(view, "ridge"), frozen(view, "means"), frozen(view, "logistic")])
    assert len(race.scored) == 3
    assert race.skipped == []
    assert race.bases.most_bytes == 0  # that of the neediest of those that run together
    made = race.bases.basis(view, 0, view.matrix(race.problem.folds[0].train), np.ones(96), exact=False)
    assert made.vectors.dtype == np.float64  # a new one: none is kept


def test_the_weighted_head_sees_all_layers_and_is_told_of_them():
    race, view, plain = case(source_signal=3, plain_signal=0)
    transfer, _ = run_all(race, plain, [view], ["ridge", "weighted"])
    weighted = transfer[-1].candidate
    assert weighted.strategy == "frozen-weighted-all"
    assert isinstance(weighted, Frozen)
    assert weighted.head.blocks == (6, 6)
    assert FusedView((view, view)).blocks == (6, 6, 6, 6)
    fitted = weighted.fit_all(race.problem, transfer[-1].out_of_fold)
    early, late = fitted.head.state().settings["blocks"]
    assert late > 0.8 > 0.2 > early


def test_the_weighted_head_alone_needs_no_screening():
    race, view, plain = case(source_signal=3, plain_signal=0)
    transfer, _ = run_all(race, plain, [view], ["weighted"])
    assert [scored.candidate.strategy for scored in transfer] == ["frozen-weighted-all"]


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


@pytest.mark.parametrize("better", ["transfer", "baseline"])
def test_where_accuracy_cannot_tell_the_better_probabilities_ship(better):
    """Rare classes: both sides call nearly everything common, and one knows far better how sure to be."""
    rng = np.random.default_rng(0)
    y = np.tile([0] * 9 + [1], 30)
    target = Target("binary", y, ("common", "rare"))
    problem = Problem(target, folds(target, k=5, seed=0), None, None, 0)

    def said(rare: np.ndarray, name: str, *, transfer: bool) -> Scored:
        candidate = SimpleNamespace(words=name, transfer=transfer, moves=False, cost=1.0, effort=0.0)
        p = np.stack([1 - rare, rare], axis=1)
        return Scored.of(candidate, OutOfFold(p, p, 0.0), problem)  # type: ignore[arg-type]

    knows, guesses = np.where(y == 1, 0.48, 0.02) + 0.01 * rng.random(300), np.full(300, 0.1)
    ours, theirs = (knows, guesses) if better == "transfer" else (guesses, knows)
    transfer, plain = said(ours, "lite0", transfer=True), said(theirs, "HOG", transfer=False)
    decision = decide([transfer], [plain], problem)
    assert not decision.verdict.transfer_helps
    assert decision.chosen is (transfer if better == "transfer" else plain)
    winner = "lite0" if better == "transfer" else "HOG"
    assert f"the log loss of {winner} is better by" in decision.verdict.text
    assert decision.verdict.loss_gain is not None
    assert decision.verdict.loss_gain.value == pytest.approx(plain.loss - transfer.loss)


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


class Watched:
    """Progress that keeps its one bar's total, unit and steps."""

    @contextmanager
    def bar(self, label, detail, total, unit):
        self.total, self.unit, self.steps = total, unit, []
        yield self

    def advance(self, steps=1, *, cached=False):
        self.steps += [steps] if steps else []


def test_the_bar_counts_each_fit_as_it_ends(monkeypatch):
    """One fold at a time, each of which waits until the bar has counted those before it."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    race, view, _ = case(source_signal=3, plain_signal=0)
    race.progress = watched = Watched()

    class Patient(SourceView):
        def fit(self, rows):
            end = time.monotonic() + 20
            while sum(watched.steps) < self.fits and time.monotonic() < end:
                time.sleep(0.001)
            self.seen.append(sum(watched.steps))
            object.__setattr__(self, "fits", self.fits + 1)
            return super().fit(rows)

    patient = Patient(view.features, view.origin, view.taps, "all")
    object.__setattr__(patient, "fits", 0)
    object.__setattr__(patient, "seen", [])
    race.run([frozen(patient, "ridge"), frozen(patient, "means")])
    assert patient.seen == list(range(10))
    assert (watched.total, watched.unit, watched.steps) == (10, "fits", [1] * 10)


def test_a_candidate_that_is_skipped_counts_all_its_fits():
    race, view, _ = case(source_signal=3, plain_signal=0)
    race.progress, race.deadline = watched, _ = Watched(), time.perf_counter() - 1
    race.run([frozen(view, head) for head in ("ridge", "means", "knn")])
    assert len(race.skipped) == 2
    assert watched.steps.count(5) == 2
    assert sum(watched.steps) == watched.total == 15


def test_an_allowance_counts_estimates_and_never_the_clock(monkeypatch):
    """It lasts for the layers and one head more; baselines run though nothing is left, and the notes have estimates."""
    told = []
    for speed in (1, 1000):
        race, view, plain = case(source_signal=3, plain_signal=0)
        clock = time.perf_counter
        monkeypatch.setattr(time, "perf_counter", lambda clock=clock, speed=speed: speed * clock())
        every = Race(race.problem)
        run_all(every, plain, [view], ["ridge", "means", "knn"])
        screened = sum(one.candidate.estimated_seconds(race.problem) for one in every.scored[:2])
        means = next(one.candidate for one in every.scored if "means" in one.candidate.strategy)
        race.allowance = screened + means.estimated_seconds(race.problem) * 1.5
        transfer, baseline = run_all(race, plain, [view], ["ridge", "means", "knn"])
        assert [one.candidate.strategy.split("-")[1] for one in transfer] == ["ridge", "ridge", "means"]
        assert len(baseline) == 2
        assert race.spent <= race.allowance
        monkeypatch.undo()
        told.append(race.skipped)
    assert told[0] == told[1]
    assert len(told[0]) == 1
    assert "that a fit without --budget takes" in told[0][0]


def test_baselines_run_though_the_allowance_is_spent():
    race, view, plain = case(source_signal=3, plain_signal=0)
    race.allowance = 0.0
    transfer, baseline = run_all(race, plain, [view], ["ridge", "knn"])
    assert len(transfer) == 1
    assert len(baseline) == 2


def test_named_strategies_restrict_the_heads():
    assert frozen_heads(["frozen-knn", "ridge"], "binary") == ["ridge", "knn"]
    assert frozen_heads(["frozen"], "binary") == frozen_heads([], "binary")
    assert "means" not in frozen_heads([], "regression")
    assert frozen_heads([], "multiclass", 1_000) == ["ridge", "kernel", "logistic", "weighted"]
    assert "means" in frozen_heads([], "multiclass", 8)
    assert frozen_heads([], "multiclass", 1_000, modality="image") == ["ridge", "kernel", "logistic"]
    assert frozen_heads(["frozen-weighted"], "multiclass", modality="image") == ["weighted"]
    with pytest.raises(OptionError, match="'frozen-logistic'"):
        frozen_heads(["frozen-logstic"], "binary")


def test_boosted_trees_are_left_out_of_many_classes():
    plain = HogView(np.zeros((3, 4), np.float16))
    assert [c.head_name for c in baselines(plain, "multiclass", 77)] == ["ridge"]
    assert [c.head_name for c in baselines(plain, "multiclass", 5)] == ["ridge", "boosted-trees"]


def scored(scores: np.ndarray, *, moves: bool, cost: float = 1.0, effort: float = 0.0, loss: float = 0.5) -> Scored:
    """A candidate of which only the scores and costs matter."""
    candidate = SimpleNamespace(moves=moves, cost=cost, effort=effort, transfer=True)
    return Scored(candidate, None, scores.astype(np.float64), loss, 5, np.full(len(scores), loss))  # type: ignore[arg-type]


def taken(*candidates: Scored) -> int:
    matrix = np.stack([one.item_scores for one in candidates], axis=1)
    return int(frozen_first(candidates)(matrix, np.ones(len(matrix)), np.ones((1, len(matrix))))[0])


def paired_error(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(float) - b).std(ddof=1) / np.sqrt(len(a)))


@pytest.mark.parametrize("seed", range(20))
def test_moved_weights_ship_only_where_the_gain_clears_its_standard_error(seed):
    """Against the rule written out for one frozen and one tuned candidate, whichever is dearer."""
    rng = np.random.default_rng(seed)
    frozen = rng.random(80) < 0.8
    tuned = np.where(rng.random(80) < 0.15, rng.random(80) < 0.85, frozen)
    gain = tuned.mean() - frozen.mean()
    clears = gain > paired_error(tuned, frozen) + 1e-9  # one item more is exactly one standard error
    assert taken(scored(frozen, moves=False, cost=5), scored(tuned, moves=True, cost=1, effort=9)) == int(clears)


def test_of_tuned_ones_within_a_standard_error_the_cheapest_to_train_ships():
    rng = np.random.default_rng(0)
    frozen = rng.random(400) < 0.7
    best = rng.random(400) < 0.9
    near = best.copy()
    near[np.flatnonzero(best)[:3]] = False
    near[np.flatnonzero(~best)[:2]] = True
    dear, cheap = (scored(s, moves=True, effort=e) for s, e in ((best, 100.0), (near, 10.0)))
    assert taken(scored(frozen, moves=False), dear, cheap) == 2
    assert taken(scored(frozen, moves=False), dear) == 1


def test_many_weightings_are_judged_as_one_by_one():
    rng = np.random.default_rng(1)
    given = [scored(rng.random(60) < 0.7, moves=k > 1, cost=k, effort=k) for k in range(4)]
    matrix = np.stack([one.item_scores for one in given], axis=1)
    weights = rng.integers(0, 3, (50, 60)).astype(np.float64)
    rule = frozen_first(given)
    together = rule(matrix, np.ones(60), weights)
    assert together.tolist() == [int(rule(matrix, np.ones(60), w[None])[0]) for w in weights]


def test_tuned_candidates_count_in_the_optimism_and_the_verdict(make_case):
    case = make_case(n=120, weak=0.3)
    noise = Frozen(HogView(np.random.default_rng(5).normal(size=(120, 4)).astype(np.float16)), "ridge", "hog-ridge")
    plain = Scored.of(noise, noise.crossfit(case.problem), case.problem)
    tuned = [case.tuned(name=f"t{i}", hidden=case.hidden + i) for i in range(3)]
    ran = [Scored.of(one, one.crossfit(case.problem), case.problem) for one in tuned]
    decision = decide([case.bar, *ran], [plain], case.problem)
    assert decision.chosen in ran
    assert decision.verdict.transfer_helps
    everyone = [case.bar, *ran]
    scores, losses = (
        np.stack([getattr(one, name) for one in everyone], axis=1) for name in ("item_scores", "item_losses")
    )
    assert decision.estimate == corrected(Candidates(scores, frozen_first(everyone), losses))


def test_a_baseline_from_scratch_can_win(make_case):
    case = make_case(weak=0.2)
    scratch = case.tuned(name="scratch")
    ran = Scored.of(scratch, scratch.crossfit(case.problem), case.problem)
    decision = decide([case.bar], [ran], case.problem)
    assert decision.chosen is ran
    assert "made from scratch ships" in decision.verdict.text


def test_a_candidate_with_fewer_folds_is_compared_on_those(make_case):
    case = make_case(n=150, k=5, weak=0.3)
    noise = Frozen(HogView(np.random.default_rng(5).normal(size=(150, 4)).astype(np.float16)), "ridge", "hog-ridge")
    plain = Scored.of(noise, noise.crossfit(case.problem), case.problem)
    good = case.tuned()
    trial = Trial(good.learner, case.job, case.problem)
    for k in range(3):
        trial.train(k)
    part = case.problem.first(3)
    ran = Scored.of(good, trial.out_of_fold(), part)
    decision = decide([case.bar, ran], [plain], case.problem)
    assert decision.chosen is ran
    assert decision.folds == 3
    alone = decide(
        [Scored.of(case.bar.candidate, case.bar.candidate.crossfit(part), part), ran],
        [Scored.of(noise, noise.crossfit(part), part)],
        part,
    )
    assert decision.verdict.gain == alone.verdict.gain
    assert decision.estimate == alone.estimate


def test_one_with_fewer_folds_that_does_not_ship_changes_nothing(make_case):
    case = make_case(n=150, k=5, weak=2)
    bad = case.tuned(hidden=np.zeros((150, 6)), epochs=(1,))
    trial = Trial(bad.learner, case.job, case.problem)
    trial.train(0)
    ran = Scored.of(bad, trial.out_of_fold(), case.problem.first(1))
    noise = Frozen(HogView(np.random.default_rng(5).normal(size=(150, 4)).astype(np.float16)), "ridge", "hog-ridge")
    plain = Scored.of(noise, noise.crossfit(case.problem), case.problem)
    found, without = decide([case.bar, ran], [plain], case.problem), decide([case.bar], [plain], case.problem)
    assert (found.chosen, found.verdict, found.estimate) == (without.chosen, without.verdict, without.estimate)
    assert found.folds == 5
