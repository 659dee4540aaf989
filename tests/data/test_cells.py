"""When a cell is a number."""

import math
from datetime import timedelta

import numpy as np
import pytest

from headstart.data.cells import as_number, as_numbers, number_share, plain

CELLS = [
    ("1", 1.0), ("-2.5e3", -2500.0), (" 7 ", 7.0), ("+4", 4.0), ("0", 0.0), ("0.5", 0.5), ("-0.5", -0.5),
    ("inf", math.inf), (3, 3.0), (2.5, 2.5), (True, 1.0), ("007", None), ("-01", None), ("00", None),
    ("1_000", None), ("1,5", None), ("", None),
    ("1,234", 1234.0), ("$1,234.50", 1234.5), ("12.5 %", 12.5), ("-3%", -3.0), ("5 €", 5.0), ("0,123", None),
    ("12,34", None), ("$007", None), ("%", None), ("1%%", None), ("5 kg", None),
    ("x", None), (None, None), ([1], None), (10**400, None), ("True", None), ("0x10", None),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "number"), CELLS)
def test_one_cell(cell, number):
    assert as_number(cell) == number


@pytest.mark.parametrize("seed", range(20))
def test_a_column_is_its_cells_one_by_one(seed):
    rng = np.random.default_rng(seed)
    good = [pair for pair in CELLS if pair[1] is not None]
    pairs = [(CELLS if seed % 2 else good)[i] for i in rng.integers(0, len(CELLS if seed % 2 else good), 6)]
    expected = [math.nan if number is None else number for _, number in pairs]
    assert np.array_equal(as_numbers([cell for cell, _ in pairs]), expected, equal_nan=True)


def test_the_share_leaves_out_what_is_missing():
    assert number_share(["1", "2", "NA", None, "?"]) == 1.0
    assert number_share(["1", "x", "NA"]) == 0.5
    assert number_share(["NA", None]) == 0.0
    assert number_share([True, False]) == 0.0


def test_bytes_are_strings_where_they_are_utf_8():
    assert plain("café".encode()) == "café"
    assert plain(b"  ") is None
    assert plain(b"\xff\xd8\xff") is None


def test_durations_are_seconds():
    assert plain(timedelta(hours=1, milliseconds=500)) == 3600.5
