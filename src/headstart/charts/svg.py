"""A few SVG elements as text, and round numbers for axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
Point = tuple[float, float]


def document(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A whole file: the parts on white, with a title for those who cannot see it."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{escape(FONT)}" font-size="13" fill="#222">\n'
        f"<title>{_clean(title)}</title>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def line(points: Sequence[Point], colour: str, width: float = 1.0, *, dashes: str = "") -> str:
    """A line through points."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{_list(points)}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-linejoin="round"{dashed}/>'
    )


def area(points: Sequence[Point], colour: str, opacity: float) -> str:
    """A filled shape."""
    return f'<polygon points="{_list(points)}" fill="{colour}" fill-opacity="{opacity:g}"/>'


def dot(at: Point, radius: float, colour: str) -> str:
    """A disc."""
    return f'<circle cx="{_number(at[0])}" cy="{_number(at[1])}" r="{radius:g}" fill="{colour}"/>'


def text(
    at: Point, words: str, *, anchor: str = "start", size: float = 13, colour: str = "#222", bold: bool = False
) -> str:
    """Words whose baseline starts, has its middle, or ends at a point."""
    weight = ' font-weight="600"' if bold else ""
    return f'<text {_place(at, anchor, size)} fill="{colour}"{weight}>{_clean(words)}</text>'


def halo(at: Point, words: str, *, anchor: str = "start", size: float = 13) -> str:
    """White around the same words, to lie under them where they stand on lines."""
    return f'<text {_place(at, anchor, size)} fill="#fff" stroke="#fff" stroke-width="4">{_clean(words)}</text>'


def _place(at: Point, anchor: str, size: float) -> str:
    return f'x="{_number(at[0])}" y="{_number(at[1])}" text-anchor="{anchor}" font-size="{size:g}"'


def round_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that cover [low, high] with about so many steps."""
    rough = (high - low) / about if high > low else 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, max(last, first + 1) + 1)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, at least `gap` apart and within bounds, in the wanted order."""
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    placed = [0.0] * len(wanted)
    before = low - gap
    for k in order:
        placed[k] = before = max(wanted[k], before + gap)
    after = high + gap
    for k in reversed(order):
        placed[k] = after = min(placed[k], after - gap)
    return placed


def _list(points: Sequence[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """Hundredths of a pixel are enough, and equal on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _clean(words: str) -> str:
    """Text that XML may hold: no control characters, which names of files may have."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words))
