from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from headstart.charts.learning_curve import HEIGHT, WIDTH, learning_curve

SVG = "{http://www.w3.org/2000/svg}"


def score(value: float, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def curve(name: str, *values: float, known: bool = True) -> dict[str, Any]:
    sizes = [1, 2, 5, 10, 20, 50, None][-len(values) :]
    return {
        "name": name,
        "points": [
            {
                "size": size,
                "per_class": 86.0 if size is None else float(size),
                "score": score(value, value - 0.05, value + 0.04) if known else score(value),
            }
            for size, value in zip(sizes, values, strict=True)
        ],
    }


def report(*curves: dict[str, Any], saved: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    told = {"value": 12.3, "bound": None, "goal": 0.66, "ours": 14.0, "theirs": 172.0}
    return {
        "name": "birds",
        "metric": "accuracy",
        "classes": ["a", "b"],
        "n_test": 73,
        "draws": 5,
        "curves": curves,
        "saved": [told] if saved is None else saved,
    }


def texts(figure: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(figure.encode()).iter(f"{SVG}text")]


PLAIN = curve("no transfer", 0.52, 0.51, 0.56, 0.6, 0.64, 0.65, 0.66)
PROBE = curve("probe", 0.63, 0.84, 0.86, 0.89, 0.91, 0.93, 0.95)


def test_every_curve_is_drawn_and_named_with_its_last_score():
    figure = learning_curve(report(PLAIN, PROBE))
    shown = texts(figure)
    for words in ("birds: accuracy against labels", "no transfer  66.0", "probe  95.0", "labels a class", "all (86)"):
        assert words in shown
    assert shown.count("12.3 × the labels") == 2  # on a halo
    root = ET.fromstring(figure.encode())
    assert len(root.findall(f"{SVG}polygon")) == 2
    assert len([one for one in root.findall(f"{SVG}circle") if one.get("r") == "3.2"]) == 14


def test_points_lie_where_their_scores_are():
    """Higher scores higher up, more labels further right, all inside."""
    root = ET.fromstring(learning_curve(report(PLAIN, PROBE)).encode())
    dots = [(float(one.get("cx")), float(one.get("cy"))) for one in root.iter(f"{SVG}circle") if one.get("r") == "3.2"]
    for ours, values in ((dots[:7], PLAIN["points"]), (dots[7:], PROBE["points"])):
        assert [x for x, _ in ours] == sorted(x for x, _ in ours)
        order = sorted(range(7), key=lambda k: -values[k]["score"]["value"])
        assert [ours[k][1] for k in order] == sorted(y for _, y in ours)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in dots)
    assert dots[0][0] == dots[7][0]


@pytest.mark.parametrize(("bound", "sign"), [("more", "> "), ("less", "< "), (None, "")])
def test_bounds_are_signed(bound, sign):
    saved = {"value": 60.0, "bound": bound, "goal": 0.99, "ours": 2.0, "theirs": 172.0}
    assert f"{sign}60 × the labels" in texts(learning_curve(report(PLAIN, PROBE, saved=[saved])))


def test_nothing_is_claimed_where_nothing_can_be_told():
    saved = {"value": None, "bound": None, "goal": 0.66, "ours": 2.0, "theirs": 2.0}
    for told in ([saved], []):
        assert not any("the labels" in words for words in texts(learning_curve(report(PLAIN, saved=told))))


def test_one_point_perfect_scores_and_unknown_intervals():
    for curves in ([curve("a", 0.7)], [curve("a", 1.0, 1.0)], [curve("a", 0.5, 0.6, known=False)]):
        ET.fromstring(learning_curve(report(*curves, saved=[])).encode())


def test_the_same_report_gives_the_same_bytes():
    assert learning_curve(report(PLAIN, PROBE)) == learning_curve(report(PLAIN, PROBE))
