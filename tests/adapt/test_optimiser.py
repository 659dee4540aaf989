"""Steps by hand and torch's own AdamW are the references."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch

from headstart.adapt.optimiser import Optimiser, rates
from headstart.adapt.settings import Settings


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.ModuleDict({"low": torch.nn.Linear(3, 3), "high": torch.nn.Linear(3, 3)})
        self.head = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.body["high"](self.body["low"](x)))


DEPTHS = {"low.weight": 1, "low.bias": 1, "high.weight": 3, "high.bias": 3}
X = torch.linspace(-1, 1, 12).reshape(4, 3)


def step(network, optimiser, factor: float = 1.0) -> None:
    optimiser.set_rate(factor)
    optimiser.adam.zero_grad()
    network(X).square().sum().backward()
    optimiser.adam.step()


def test_rates_fall_with_the_distance_from_the_deepest() -> None:
    found = rates(DEPTHS, Settings(1, rate=0.1, decay=0.5))
    assert found == pytest.approx({"low.weight": 0.025, "low.bias": 0.025, "high.weight": 0.1, "high.bias": 0.1})


def test_a_step_is_torchs_adamw_with_each_groups_rate() -> None:
    settings = Settings(1, rate=0.1, head_rate=0.3, decay=0.5, weight_decay=0.2)
    ours, theirs = Small(), Small()
    optimiser = Optimiser(ours, DEPTHS, settings)
    groups = [
        {"params": [p], "lr": 0.5 * rate, "weight_decay": 0.2 * (p.ndim > 1)}
        for part, rate in ((theirs.body["low"], 0.025), (theirs.body["high"], 0.1), (theirs.head, 0.3))
        for p in part.parameters()
    ]
    reference = torch.optim.AdamW(groups)
    for _ in range(3):
        step(ours, optimiser, 0.5)
        reference.zero_grad()
        theirs(X).square().sum().backward()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_restored_it_goes_on_as_if_nothing_had_happened() -> None:
    settings = Settings(1, rate=0.01)
    network, again = Small(), Small()
    optimiser = Optimiser(network, DEPTHS, settings)
    assert optimiser.state() == {}
    step(network, optimiser)
    state, weights = optimiser.state(), {k: v.clone() for k, v in network.state_dict().items()}
    step(network, optimiser)
    again.load_state_dict(weights)
    second = Optimiser(again, DEPTHS, settings)
    second.restore(state)
    step(again, second)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_the_rate_rises_and_then_falls_along_a_cosine() -> None:
    settings = Settings(1, warmup=0.2)
    factors = [settings.factor(i, 20) for i in range(20)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[4:] == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 17)) for k in range(1, 17)])
    assert 0 < factors[-1] < 0.02
    assert [Settings(1, warmup=0.0).factor(i, 1) for i in range(1)] == [1.0]


def test_frozen_parameters_are_left_alone() -> None:
    network = Small()
    network.body["low"].requires_grad_(False)
    assert set(Optimiser(network, DEPTHS, Settings(1)).parameters) == {
        "body.high.weight", "body.high.bias", "head.weight", "head.bias"
    }  # fmt: skip
