"""Numbers and tables as plain text."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.cli.lines import visible
from headstart.digits import digits

_SKIPPED_SHOWN = 5
_BYTES = ("bytes", "kB", "MB", "GB", "TB")
# Metrics that are shares, shown in points of 100; the others are shown as they are.
_SHARES = {"accuracy", "balanced_accuracy", "macro_f1", "samples_f1", "auc", "map", "f1", "precision", "recall",
           "word_error_rate", "character_error_rate"}  # fmt: skip


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines with aligned columns; control characters in cells are escapes.

    Args:
        rows: as many cells each as the header has.
        right: the columns whose text is aligned to the right.
    """
    shown = [[visible(cell) for cell in row] for row in [header, *rows]]
    widths = [max(_width(row[k]) for row in shown) for k in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (_pad(cell, widths[k], right=k in right) for k, cell in enumerate(row))
        return "  ".join(cells).rstrip()

    return [line(row) for row in shown]


def skipped_line(skipped: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was left out, the first few by name with the reason; no line where nothing was."""
    if not skipped:
        return []
    named = "; ".join(f"{item['id']} ({item['reason']})" for item in skipped[:_SKIPPED_SHOWN])
    rest = f"; and {len(skipped) - _SKIPPED_SHOWN} more" if len(skipped) > _SKIPPED_SHOWN else ""
    return [f"skipped {len(skipped)}: {named}{rest}"]


def percent(share: float | None) -> str:
    """A probability: "98.2 %"."""
    return "-" if _absent(share) else f"{share:.1%}".replace("%", " %")


def points(share: float | None) -> str:
    """A share in points of 100: "93.4"."""
    return "-" if _absent(share) else f"{100 * share:.1f}"  # type: ignore[operator]


def decimals(number: float | None) -> str:
    """A loss, or a number that was predicted: ".24", "1.12"; digits that matter where it is large or small."""
    if _absent(number):
        return "-"
    assert number is not None
    text = digits(number)
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def metric(name: str, interval: Mapping[str, Any] | float | None) -> str:
    """A metric with its 95 % interval: "93.4  [91.9, 94.7]"; shares in points."""
    show = points if name in _SHARES else decimals
    if not isinstance(interval, Mapping):
        return show(interval)
    value, low, high = (interval.get(key) for key in ("value", "low", "high"))
    if _absent(low) or _absent(high):
        return show(value)
    return f"{show(value)}  [{show(low)}, {show(high)}]"


def seconds(time: float | None) -> str:
    """A time: "0.4 s", "74 s", "12 min"."""
    if _absent(time):
        return "-"
    assert time is not None
    if time < 9.95:
        return f"{time:.1f} s"
    return f"{time:.0f} s" if time < 600 else f"{time / 60:.0f} min"


def size(count: float) -> str:
    """Bytes: "21 MB", in powers of 1000 as disks are sold."""
    power = min(int(math.log10(count) // 3), len(_BYTES) - 1) if count >= 1 else 0
    value = count / 1000**power
    return f"{value:.1f} {_BYTES[power]}" if power and value < 9.95 else f"{value:.0f} {_BYTES[power]}"


def _absent(number: float | None) -> bool:
    return number is None or not math.isfinite(number)


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining marks none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
