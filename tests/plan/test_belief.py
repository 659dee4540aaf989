"""Beliefs against numerical integration."""

from __future__ import annotations

import numpy as np
import pytest

from headstart import registry
from headstart.plan.belief import ANY, PRIORS, Belief


@pytest.mark.parametrize(("mean", "spread", "over"), [(0.02, 0.01, 0.0), (-0.05, 0.03, 0.0), (0.03, 0.02, 0.05)])
def test_expected_improvement_is_the_integral(mean, spread, over):
    gain = np.linspace(mean - 10 * spread, mean + 10 * spread, 200_001)
    density = np.exp(-0.5 * ((gain - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    expected = (np.maximum(0, gain - over) * density).sum() * (gain[1] - gain[0])
    assert np.isclose(Belief(mean, spread).improvement(over), expected, rtol=1e-5)


def test_the_posterior_is_that_of_a_grid():
    gain = np.linspace(-0.5, 0.5, 100_001)
    weight = np.exp(-0.5 * ((gain - 0.02) / 0.03) ** 2 - 0.5 * ((gain - 0.06) / 0.02) ** 2)
    weight /= weight.sum()
    after = Belief(0.02, 0.03).after(0.06, 0.02)
    assert np.isclose(after.mean, weight @ gain)
    assert np.isclose(after.spread, np.sqrt(weight @ (gain - after.mean) ** 2), rtol=1e-4)


def test_an_unknown_error_tells_nothing():
    assert Belief(0.02, 0.03).after(0.5, float("nan")) == Belief(0.02, 0.03)


def test_priors_scale_with_what_is_left_to_gain():
    few, many = Belief.before("last-stages", 0.02), Belief.before("last-stages", 0.2)
    assert np.isclose(many.mean, 10 * few.mean)
    assert np.isclose(Belief.before("of a plug-in", 0.1).mean, 0.1 * ANY[0])
    assert all(spread > 0 for _, spread in PRIORS.values())
    assert Belief.before("full", 0.0).spread > 0


def test_every_strategy_of_ours_that_transfers_has_a_prior():
    assert set(registry.names("headstart.strategies")) - {"scratch"} <= set(PRIORS)


def test_hopeless_is_a_standard_deviation_below():
    assert Belief(-0.02, 0.01).hopeless(0.0)
    assert not Belief(-0.02, 0.03).hopeless(0.0)
    assert Belief(0.02, 0.01).hopeless(0.04)
