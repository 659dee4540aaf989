"""The learning curves of a report: score against labels a class, 95 % bands, and how far the curves lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.charts import svg
from headstart.charts.svg import Point

WIDTH, HEIGHT = 800, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 180, 62, 58
# Okabe and Ito (2008): told apart by the colour-blind too. What knows nothing beforehand is grey.
_PLAIN = "#777777"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FAINT, _GRID = "#666666", "#e4e4e4"
_WORDS = {"accuracy": "accuracy", "samples_f1": "sample F1"}


@dataclass(frozen=True)
class _Frame:
    """From labels a class and score to pixels: a logarithmic and a linear axis."""

    low: float
    high: float
    bottom: float
    top: float

    def x(self, labels: float) -> float:
        span = math.log(self.high / self.low)
        share = math.log(labels / self.low) / span if span > 0 else 0.5
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, score: float) -> float:
        return HEIGHT - _BOTTOM - (score - self.bottom) / (self.top - self.bottom) * (HEIGHT - _TOP - _BOTTOM)

    def at(self, labels: float, score: float) -> Point:
        return self.x(labels), self.y(score)


def learning_curve(report: Mapping[str, Any]) -> str:
    """The figure of a report of `headstart curve`, as SVG text.

    Args:
        report: its name, metric, n_test, draws, curves and saved.
    """
    curves = report["curves"]
    frame = _frame(curves)
    colours = _colours(curves)
    title = f"{report['name']}: {_WORDS.get(report['metric'], report['metric'])} against labels"
    parts = [
        svg.text((_LEFT, 26), title, size=16, bold=True),
        svg.text((_LEFT, 45), _subtitle(report), size=12, colour=_FAINT),
        *_axes(frame, curves[0]["points"]),
        *(_band(frame, curve, colour) for curve, colour in zip(curves, colours, strict=True)),
        *(part for curve, colour in zip(curves, colours, strict=True) for part in _curve(frame, curve, colour)),
        *_names(frame, curves, colours),
        *_saved(frame, report),
    ]
    return svg.document(WIDTH, HEIGHT, title, parts)


def _frame(curves: Sequence[Mapping[str, Any]]) -> _Frame:
    points = [point for curve in curves for point in curve["points"]]
    scores = [point["score"][end] for point in points for end in ("low", "high", "value")]
    known = [score for score in scores if score is not None]
    ticks = svg.round_ticks(max(min(known), 0.0), min(max(known), 1.0))
    labels = [point["per_class"] for point in points]
    return _Frame(min(labels), max(labels), ticks[0], ticks[-1])


def _colours(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    others = iter(_COLOURS * len(curves))
    return [_PLAIN if curve["name"] == "no transfer" else next(others) for curve in curves]


def _subtitle(report: Mapping[str, Any]) -> str:
    draws = "1 draw" if report["draws"] == 1 else f"{report['draws']} draws"
    return f"on the same {report['n_test']:,} test items; the mean of {draws} of labels, bands of 95 %"


def _axes(frame: _Frame, points: Sequence[Mapping[str, Any]]) -> list[str]:
    left, right, floor = _LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for tick in svg.round_ticks(frame.bottom, frame.top):
        y = frame.y(tick)
        parts.append(svg.line([(left, y), (right, y)], _GRID))
        parts.append(svg.text((left - 8, y + 4), f"{100 * tick:.4g} %", anchor="end", size=12, colour=_FAINT))
    for point in points:
        x = frame.x(point["per_class"])
        parts.append(svg.line([(x, floor), (x, floor + 5)], _FAINT))
        name = f"all ({point['per_class']:,.0f})" if point["size"] is None else f"{point['size']:,}"
        parts.append(svg.text((x, floor + 20), name, anchor="middle", size=12, colour=_FAINT))
    parts.append(svg.line([(left, floor), (right, floor)], _FAINT))
    parts.append(svg.text(((left + right) / 2, floor + 42), "labels a class", anchor="middle", size=12, colour=_FAINT))
    return parts


def _band(frame: _Frame, curve: Mapping[str, Any], colour: str) -> str:
    known = [point for point in curve["points"] if point["score"]["low"] is not None]
    edges = [frame.at(point["per_class"], min(point["score"]["high"], frame.top)) for point in known]
    edges += [frame.at(point["per_class"], max(point["score"]["low"], frame.bottom)) for point in reversed(known)]
    return svg.area(edges, colour, 0.13)


def _curve(frame: _Frame, curve: Mapping[str, Any], colour: str) -> list[str]:
    points = [frame.at(point["per_class"], max(point["score"]["value"], frame.bottom)) for point in curve["points"]]
    return [svg.line(points, colour, 2.2), *(svg.dot(point, 3.2, colour) for point in points)]


def _names(frame: _Frame, curves: Sequence[Mapping[str, Any]], colours: Sequence[str]) -> list[str]:
    """Each curve's name and last score beside its end."""
    ends = [frame.y(max(curve["points"][-1]["score"]["value"], frame.bottom)) for curve in curves]
    places = svg.spread(ends, 17, _TOP + 4, HEIGHT - _BOTTOM)
    return [
        svg.text(
            (WIDTH - _RIGHT + 10, place + 4),
            f"{curve['name']}  {100 * curve['points'][-1]['score']['value']:.1f}",
            colour=colour,
            bold=True,
        )
        for curve, colour, place in zip(curves, colours, places, strict=True)
    ]


def _saved(frame: _Frame, report: Mapping[str, Any]) -> list[str]:
    """A dashed line from curve to curve, at the score where the first comparison was made."""
    told = [saved for saved in report["saved"] if saved["value"] is not None]
    if not told:
        return []
    saved, classes = told[0], len(report["classes"])
    ends = [saved["ours"] / classes, saved["theirs"] / classes]
    y = frame.y(saved["goal"])
    xs = sorted(frame.x(end) for end in ends)
    sign = {"more": "> ", "less": "< ", None: ""}[saved["bound"]]
    words = f"{sign}{saved['value']:.3g} × the labels"
    above = y - 7 if y > _TOP + 24 else y + 17
    middle = min(max((xs[0] + xs[1]) / 2, _LEFT + 60), WIDTH - _RIGHT - 60)
    return [
        svg.line([(xs[0], y), (xs[1], y)], "#222222", 1.3, dashes="4 4"),
        *(svg.dot((x, y), 2.2, "#222222") for x in xs),
        svg.halo((middle, above), words, anchor="middle", size=12),
        svg.text((middle, above), words, anchor="middle", size=12),
    ]
