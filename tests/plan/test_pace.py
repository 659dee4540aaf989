"""Estimates of time, corrected by what was measured."""

from __future__ import annotations

import pytest

from headstart.plan.pace import Pace


def test_before_anything_was_measured_the_estimate_stands():
    assert Pace().seconds("full", 10.0) == 10.0


def test_the_first_training_counts_without_what_it_paid_once_the_next_ones_wholly():
    pace = Pace()
    pace.record("full", 10.0, 98.0)
    assert pace.seconds("full", 10.0) == pytest.approx(90.0)
    pace.record("full", 10.0, 20.0)
    assert pace.seconds("full", 5.0) == pytest.approx(10.0)
    pace.record("lora", 10.0, 6.0)
    assert pace.seconds("lora", 10.0) == pytest.approx(3.0)


def test_a_strategy_without_a_training_is_as_slow_as_the_others():
    pace = Pace()
    pace.record("full", 10.0, 48.0)
    assert pace.seconds("lora", 10.0) == pytest.approx(20.0)


def test_nothing_is_learned_from_no_estimate():
    pace = Pace()
    pace.record("full", 0.0, 40.0)
    assert pace.seconds("full", 3.0) == 3.0
