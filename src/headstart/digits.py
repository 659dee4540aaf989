"""Numbers for people: of any size by one rule, and shares in points."""

from __future__ import annotations


def digits(number: float) -> str:
    """Two decimals: "0.24", "10.50"; of what is small or large, the digits that matter: "4.5e-07", "1.235e+04"."""
    if number == 0:
        return "0.00"  # of a negative zero, too
    if 0.01 <= abs(number) < 100:
        return f"{number:.2f}"
    return f"{number:.4g}" if abs(number) >= 100 else f"{number:.2g}"


def points(share: float, sign: str = "") -> str:
    """A share or a difference in points of 100: "93.4"; with "+" as sign "+1.2"; "0.0" for all that rounds to it."""
    rounded = round(100 * share, 1)
    return f"{rounded:{sign}.1f}" if rounded else "0.0"
