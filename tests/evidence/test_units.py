from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evidence.units import MAX_BOOTSTRAP_UNITS, REPLICATES, bootstrap_weights, units_of


def test_sums_by_group():
    units = units_of(5, np.array([7, 3, 7, 3, 9]))
    assert units.sizes.tolist() == [2, 2, 1]
    assert units.sums(np.arange(5.0)).tolist() == [4, 2, 4]
    table = np.arange(10.0).reshape(5, 2)
    assert units.sums(table).tolist() == [[8, 10], [4, 6], [8, 9]]


def test_groups_of_one_are_summed_in_the_order_of_their_codes():
    assert units_of(3, np.array([2, 0, 1])).sums(np.array([5.0, 6.0, 7.0])).tolist() == [6, 7, 5]


def test_weights_draw_as_many_units_as_there_are_and_repeat_under_a_seed():
    weights = np.concatenate(list(bootstrap_weights(3000, seed=1)))
    assert weights.shape == (REPLICATES, 3000)
    assert (weights.sum(axis=1) == 3000).all()
    assert weights.var() == pytest.approx(1.0, abs=0.01)  # multinomial counts: about Poisson of mean 1
    assert (weights == np.concatenate(list(bootstrap_weights(3000, seed=1)))).all()


def test_many_units_are_dealt_into_bags_that_keep_every_item():
    n = 3 * MAX_BOOTSTRAP_UNITS + 1
    bags = units_of(n).merged(seed=0)
    assert len(bags) == MAX_BOOTSTRAP_UNITS
    assert bags.sizes.sum() == n
    assert bags.sums(np.ones(n)) == pytest.approx(bags.sizes)


def test_groups_stay_whole_in_bags():
    groups = np.repeat(np.arange(MAX_BOOTSTRAP_UNITS + 50), 2)
    bags = units_of(len(groups), groups).merged(seed=0)
    assert (bags.index[::2] == bags.index[1::2]).all()


def test_refusals():
    with pytest.raises(DataError, match="no items"):
        units_of(0)
    with pytest.raises(DataError, match="2 group codes for 3 items"):
        units_of(3, np.zeros(2, np.int64))
