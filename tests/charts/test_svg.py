from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from headstart.charts import svg


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.43, 0.98, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.97, 0.99, None)],
)
def test_ticks_are_round_and_cover(low, high, expected):
    ticks = svg.round_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 3 <= len(ticks) <= 9
    np.testing.assert_allclose(np.diff(ticks), np.diff(ticks)[0])
    if expected:
        np.testing.assert_allclose(ticks, expected)


def test_ticks_of_a_single_value():
    assert len(svg.round_ticks(0.5, 0.5)) >= 2


@pytest.mark.parametrize("wanted", [[10, 11, 12], [12, 11, 10], [5, 300, 5, 5], [95, 99, 98], [50]])
def test_labels_are_spread_without_leaving_their_order(wanted):
    placed = svg.spread(wanted, 10, 0, 100)
    assert all(0 <= place <= 100 for place in placed)
    gaps = np.diff(np.sort(placed))
    assert (gaps >= 10 - 1e-9).all()
    for a in range(len(wanted)):
        for b in range(len(wanted)):
            assert wanted[a] >= wanted[b] or placed[a] < placed[b]


def test_names_cannot_break_the_file():
    hostile = '</text><script>alert("1")</script> & \x1b[31m \ud800'
    whole = svg.document(10, 10, hostile, [svg.text((1, 2), hostile), svg.halo((1, 2), hostile)])
    root = ET.fromstring(whole.encode())
    assert [element.tag.split("}")[1] for element in root] == ["title", "rect", "text", "text"]
    assert "\x1b" not in whole


def test_numbers_are_short_and_plain():
    assert 'points="1,2 3.14,-0.5"' in svg.line([(1, 2), (3.14159, -0.5)], "#000")
