"""Bases that one head leaves to another: the same predictions, and nothing factorised twice."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest

from headstart import registry
from headstart.data.splits import folds
from headstart.estimators import ArrayView
from headstart.evidence.metrics import class_weights
from headstart.heads.base import Head
from headstart.plan import bases as module
from headstart.plan.bases import Bases
from headstart.plan.crossfit import Problem, crossfit
from headstart.tasks import Target

RIDGE, LOGISTIC, MEANS = (registry.get("headstart.heads", name) for name in ("ridge", "logistic", "means"))


def problem(d: int, *, n: int = 60, balanced: bool = False, dtype: type = np.float32) -> tuple[ArrayView, Problem]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    x = (rng.normal(size=(n, d)) + 1.5 * np.eye(3, d)[y]).astype(dtype)
    target = Target("multiclass", y, ("a", "b", "c"))
    weights = class_weights(target) if balanced else None
    return ArrayView(x), Problem(target, folds(target, k=4, seed=1), None, weights, 0, bases=Bases())


@pytest.fixture
def factorised(monkeypatch) -> list[int]:
    """Of how many items bases were made."""
    made: list[int] = []
    factorise = module.factorise
    monkeypatch.setattr(module, "factorise", lambda x, weights: made.append(len(x)) or factorise(x, weights))
    return made


def same(view: ArrayView, task: Problem, head: Head) -> None:
    """The head says what it says where it shares nothing."""
    found, alone = crossfit(view, head, task), crossfit(view, head, replace(task, bases=None))
    np.testing.assert_allclose(found.scores, alone.scores, atol=1e-3)
    np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-3)


@pytest.mark.parametrize("d", [8, 90])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_second_head_learns_in_the_firsts_basis(factorised, d, balanced):
    view, task = problem(d, balanced=balanced)
    same(view, task, RIDGE)
    assert len(factorised) == 4
    same(view, task, LOGISTIC)
    assert len(factorised) == 4


@pytest.mark.parametrize("d", [8, 90])
def test_the_items_are_let_go(factorised, d):
    view, task = problem(d)
    bases, train = Bases(), task.folds[0].train
    bases.reserve(view, task.folds)
    x, weights = view.given[train], np.ones(len(train))
    held = weakref.ref(x)
    bases.basis(view, 0, x, weights, exact=True)
    del x
    assert held() is None
    bases.basis(view, 0, view.given[train], weights, exact=False)
    assert len(factorised) == 1  # what was made of them was kept


def test_who_needs_exact_vectors_makes_its_own(factorised):
    view, task = problem(8)
    first, second = (crossfit(view, RIDGE, task) for _ in range(2))
    assert len(factorised) == 8
    np.testing.assert_array_equal(first.scores, second.scores)


def test_of_other_layers_nothing_is_taken(factorised):
    view, task = problem(8)
    crossfit(view, RIDGE, task)
    crossfit(ArrayView(view.given[:, :7], detail="other"), LOGISTIC, task)
    assert len(factorised) == 8


@pytest.mark.parametrize("why", ["no room", "let go", "less room", "double"])
def test_what_is_not_kept_is_made_again(factorised, why):
    view, task = problem(8, dtype=np.float64 if why == "double" else np.float32)
    assert task.bases is not None
    if why == "no room":
        task.bases.make_room(4 * 8 * 8 * 4 - 1)
    crossfit(view, RIDGE, task)
    if why == "let go":
        task.bases.only(())
    if why == "less room":
        task.bases.make_room(100)
    same(view, task, LOGISTIC)
    assert len(factorised) == 8


def test_there_are_bases_only_between_heads_that_can_share():
    assert Bases.between([RIDGE, LOGISTIC, MEANS]) is not None
    for heads in ([RIDGE, MEANS], [LOGISTIC], [MEANS], []):
        assert Bases.between(heads) is None
