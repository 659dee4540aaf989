"""What candidates are estimated to need, against what they do."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from headstart import registry
from headstart.data.splits import Fold
from headstart.heads import sparse_linear
from headstart.heads.rows import CHUNK_BYTES
from headstart.plan.candidates import Frozen
from headstart.plan.crossfit import Problem
from headstart.plan.views import HogView
from headstart.tasks import Target


def problem(n: int, classes: int, folds: int = 0) -> Problem:
    target = Target("multiclass", np.arange(n) % classes, tuple(map(str, range(classes))))
    nothing = np.arange(0)
    return Problem(target, [Fold(nothing, nothing)] * folds, None, None, 0)


def candidate(head: str, d: int) -> Frozen:
    return Frozen(HogView(np.zeros((1, d), np.float16)), head, head)


def peak(head: str, x: object, target: Target) -> int:
    """Bytes that a fit holds at most, beside its features."""
    learner = registry.get("headstart.heads", head)
    tracemalloc.start()
    try:
        learner.fit(x, target)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", ["ridge", "logistic"])
@pytest.mark.parametrize(("n", "d", "classes"), [(300, 1_500, 100), (600, 200, 300)])
def test_a_fit_holds_no_more_than_estimated(head, n, d, classes):
    needed = problem(n, classes)
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float16)
    assert peak(head, x, needed.target) < candidate(head, d).estimated_bytes(needed) + CHUNK_BYTES


@pytest.mark.parametrize("most", [sparse_linear.MOST_WEIGHTS, 100_000])
def test_a_wide_fit_holds_no_more_than_estimated(most, monkeypatch):
    """By L-BFGS, and on hashed columns: past the items that are taken to their span."""
    monkeypatch.setattr(sparse_linear, "MOST_WEIGHTS", most)
    monkeypatch.setattr(sparse_linear, "SMALL", 0)
    monkeypatch.setattr(sparse_linear, "BUDGET", 0)
    monkeypatch.setattr("headstart.heads.hashed_ridge.MOST_COLUMNS", 100)
    needed, rng = problem(3_100, 40), np.random.default_rng(0)
    x = sparse.csr_matrix(sparse.random_array((3_100, 5_000), density=1e-3, rng=rng, format="csr", dtype=np.float32))
    held = peak("sparse-linear", x, needed.target)
    assert held < candidate("sparse-linear", 5_000).estimated_bytes(needed)
    assert sparse_linear.working_bytes(3_100, 5_000, 40) > (8 * 8 * 5_000 * 40 if most > 200_000 else 0)


@pytest.mark.parametrize("head", ["ridge", "logistic", "sparse-linear"])
def test_weights_of_many_classes_need_memory(head):
    """Beside the scores of few items: 160 MB each array of 4,000 columns and 5,000 classes."""
    few, wide = candidate(head, 400), candidate(head, 4_000)
    many = problem(10_000, 5_000)
    assert wide.estimated_bytes(many) - few.estimated_bytes(many) > 2 * 8 * 3_600 * (
        2_000 if "sparse" in head else 5_000
    )


def test_thousands_of_classes_do_not_need_a_wide_linear_models_weights():
    """1e8 float64 weights of 20,000 columns are 800 MB an array; L-BFGS would hold two dozen."""
    assert sparse_linear.working_bytes(8_000, 20_000, 5_000) < 800_000_000
    assert sparse_linear.working_bytes(16_000, 20_000, 1_000) < 800_000_000


def test_estimated_seconds_are_near_those_measured():
    """CPU seconds of one fit on one core, halved for two; to within a factor of three."""
    measured = {
        ("ridge", 2_000, 4_128, 77): 2.28,
        ("ridge", 8_000, 384, 3): 0.26,
        ("ridge", 8_000, 1_280, 77): 1.79,
        ("kernel", 2_000, 1_280, 3): 1.93,
        ("logistic", 500, 384, 77): 0.72,
        ("logistic", 2_000, 1_280, 3): 2.18,
        ("logistic", 2_000, 4_128, 77): 10.16,
        ("logistic", 8_000, 384, 77): 8.62,
        ("logistic", 8_000, 1_280, 3): 3.69,
        ("logistic", 8_000, 1_280, 77): 24.71,
        ("logistic", 20_000, 384, 10): 7.13,
    }
    for (head, n, d, classes), seconds in measured.items():
        estimated = candidate(head, d).estimated_seconds(problem(n, classes))
        assert seconds / 6 < estimated < seconds * 1.5, (head, n, d, classes)


def test_logistic_regression_of_few_wide_items_is_affordable_and_of_very_many_is_not():
    assert candidate("logistic", 4_128).estimated_seconds(problem(2_223, 2, folds=5)) < 20
    assert candidate("logistic", 384).estimated_seconds(problem(100_000, 10, folds=5)) > 75
