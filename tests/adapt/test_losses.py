"""scikit-learn and torch's own losses are the references."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_squared_error

pytest.importorskip("torch")

import torch

from headstart.adapt.losses import Objective, item_weights
from headstart.tasks import Target

RNG = np.random.default_rng(0)
CODES = np.array([0, 0, 0, 0, 1, 1, 2, 0])
CLASSES = Target("multiclass", CODES, ("a", "b", "c"))
LOGITS = torch.from_numpy(RNG.standard_normal((8, 3)).astype(np.float32))
ALL = torch.arange(8)


def test_weights_have_mean_one() -> None:
    given = RNG.uniform(0.1, 5, 8)
    np.testing.assert_allclose(item_weights(CLASSES, given), given / given.mean())
    np.testing.assert_allclose(item_weights(CLASSES, None), 1.0)


def test_cross_entropy() -> None:
    weights = RNG.uniform(0.5, 2, 8)
    total = Objective(CLASSES, weights, 0.0).total(LOGITS, ALL)
    wanted = log_loss(CODES, LOGITS.softmax(1).numpy(), sample_weight=weights)
    assert float(total) / 8 == pytest.approx(wanted, rel=1e-5)


def test_cross_entropy_smoothed_and_only_of_the_positions_asked_for() -> None:
    part = torch.tensor([5, 1])
    total = Objective(CLASSES, None, 0.1).total(LOGITS[:2], part)
    y = 0.9 * np.eye(3)[CODES[[5, 1]]] + 0.1 / 3
    assert float(total) == pytest.approx(float(-(y * LOGITS[:2].log_softmax(1).numpy()).sum()), rel=1e-5)


def test_labels_one_by_one() -> None:
    y = RNG.integers(0, 2, (8, 3)).astype(np.uint8)
    total = Objective(Target("multilabel", y, ("a", "b", "c")), None, 0.0).total(LOGITS, ALL)
    p = torch.sigmoid(LOGITS).double().numpy()
    wanted = np.mean([log_loss(y[:, c], p[:, c], labels=[0, 1]) for c in range(3)])
    assert float(total) / 8 == pytest.approx(wanted, rel=1e-5)


def test_numbers_are_learned_standardised() -> None:
    y = 50 + 7 * RNG.standard_normal(8)
    objective = Objective(Target("regression", y, ("v",)), None, 0.1)
    assert (objective.center, objective.scale) == pytest.approx((y.mean(), y.std()))
    total = objective.total(LOGITS[:, :1], ALL)
    wanted = mean_squared_error((y - y.mean()) / y.std(), LOGITS[:, 0].numpy())
    assert float(total) / 8 == pytest.approx(wanted, rel=1e-5)


def test_one_number_only_has_no_spread() -> None:
    objective = Objective(Target("regression", np.full(8, 3.0), ("v",)), None, 0.0)
    assert objective.scale == 1.0
    assert float(objective.total(torch.zeros(8, 1), ALL)) == 0.0
