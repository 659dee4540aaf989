"""Numbers of any size for people, by one rule."""

from __future__ import annotations


def digits(number: float) -> str:
    """Two decimals: "0.24", "10.50"; of what is small or large, the digits that matter: "4.5e-07", "1.235e+04"."""
    if number == 0 or 0.01 <= abs(number) < 100:
        return f"{number:.2f}"
    return f"{number:.4g}" if abs(number) >= 100 else f"{number:.2g}"
