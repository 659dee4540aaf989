"""The loss against its formula, item by item and pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from headstart.adapt.contrastive_loss import affinity, contrastive_loss

RNG = np.random.default_rng(0)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    one, two = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    return len(one & two) / len(one | two) if one | two else 0.0


def by_hand(features: np.ndarray, labels: np.ndarray, temperature: float, weights: np.ndarray) -> float:
    n = len(features)
    z = [row / math.sqrt(sum(float(v) ** 2 for v in row)) for row in features]
    total, mass = 0.0, 0.0
    for i in range(n):
        shared = [0.0 if j == i else jaccard(labels[i], labels[j]) for j in range(n)]
        if sum(shared) == 0:
            continue
        below = sum(math.exp(float(z[i] @ z[k]) / temperature) for k in range(n) if k != i)
        logs = [float(z[i] @ z[j]) / temperature - math.log(below) for j in range(n)]
        total += weights[i] * -sum(a * p for a, p in zip(shared, logs, strict=True)) / sum(shared)
        mass += weights[i]
    return total / mass if mass else 0.0


def loss(features: np.ndarray, labels: np.ndarray, temperature: float, weights: np.ndarray | None = None) -> float:
    w = None if weights is None else torch.from_numpy(weights)
    return float(contrastive_loss(torch.from_numpy(features), torch.from_numpy(labels), temperature, w))


EXCLUSIVE = np.eye(4)[[0, 0, 0, 1, 1, 2, 2, 2, 2, 3]]  # the last one has no company
SEVERAL = (RNG.random((10, 5)) < 0.4).astype(float)
SEVERAL[3] = 0.0  # no label at all


@pytest.mark.parametrize("labels", [EXCLUSIVE, SEVERAL], ids=["classes", "label sets"])
@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_formula(labels: np.ndarray, temperature: float, weighted: bool) -> None:
    features = RNG.normal(0, 3, (10, 6))
    weights = RNG.random(10) if weighted else np.ones(10)
    got = loss(features, labels, temperature, weights if weighted else None)
    assert got == pytest.approx(by_hand(features, labels, temperature, weights), rel=1e-5)


def test_of_exclusive_classes_affinity_is_another_of_the_same() -> None:
    codes = EXCLUSIVE.argmax(1)
    expected = (codes[:, None] == codes) & ~np.eye(10, dtype=bool)
    np.testing.assert_array_equal(affinity(torch.from_numpy(EXCLUSIVE)).numpy(), expected)


def test_only_directions_count() -> None:
    features = RNG.normal(0, 1, (10, 6))
    longer = features * RNG.uniform(0.1, 10, (10, 1))
    assert loss(features, EXCLUSIVE, 0.2) == pytest.approx(loss(longer, EXCLUSIVE, 0.2), rel=1e-5)


def test_classes_that_have_fallen_together_leave_the_share_of_company() -> None:
    """k items of each class in one point, points far apart: each other one has probability 1 / (k - 1)."""
    labels = np.eye(3)[np.repeat([0, 1, 2], 5)]
    assert loss(labels, labels, 0.02) == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("labels", [np.eye(5), np.zeros((5, 2))])
def test_without_company_there_is_nothing_to_learn(labels: np.ndarray) -> None:
    features = torch.from_numpy(RNG.normal(0, 1, (5, 3))).requires_grad_()
    found = contrastive_loss(features, torch.from_numpy(labels), 0.2)
    found.backward()
    assert float(found.detach()) == 0.0
    np.testing.assert_array_equal(features.grad.numpy(), 0.0)


def test_items_that_are_alike_have_a_finite_gradient() -> None:
    features = torch.ones(6, 4, requires_grad=True)
    contrastive_loss(features, torch.eye(2)[[0, 0, 0, 1, 1, 1]], 0.05).backward()
    assert torch.isfinite(features.grad).all()
