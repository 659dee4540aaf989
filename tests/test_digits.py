"""Numbers for people."""

from __future__ import annotations

import math

import pytest

from headstart.digits import digits, points


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.24, "0.24"), (10.5, "10.50"), (4.5e-7, "4.5e-07"), (12350.0, "1.235e+04"), (-0.3, "-0.30"), (-0.0, "0.00")],
)
def test_digits_that_matter(number, text):
    assert digits(number) == text


@pytest.mark.parametrize("zero", [0.0, -0.0, -0.0004, 0.0004, -1e-18])
@pytest.mark.parametrize("sign", ["", "+"])
def test_what_rounds_to_zero_has_no_sign(zero, sign):
    assert points(zero, sign) == "0.0"


def test_points():
    assert [points(share) for share in (0.9338, -0.0006, 1.0, math.nan)] == ["93.4", "-0.1", "100.0", "nan"]
    assert [points(share, "+") for share in (0.012, -0.003, math.nan)] == ["+1.2", "-0.3", "+nan"]
