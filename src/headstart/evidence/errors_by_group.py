"""Error rates of a recogniser by speaker, or whatever else the utterances are grouped by.

A mean over all hides the one who is not understood. Within a group the utterances are what is independent: its interval
says how its rate would differ on other utterances of the same speaker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.intervals import Interval
from headstart.evidence.word_errors import Errors

FEWEST = 10
"""Utterances of a group, below which its rates have no interval."""


def rates_by_group(
    errors: Errors, groups: NDArray[np.int64], names: Sequence[str], seed: int = 0
) -> list[dict[str, Any]]:
    """Of each group `group`, `n`, `words` and `metrics`; the highest word error rate first.

    Args:
        groups: (n,) codes.
        names: of each code; "" becomes None.
    """
    parts = [(name, errors.take(members)) for name, members in _members(groups, names)]
    rows = [{**_counted(part, name), "metrics": _rates(part, seed)} for name, part in parts]
    return sorted(rows, key=lambda row: _worst(row["metrics"], row))


def candidates_by_group(
    candidates: Mapping[str, Errors], chosen: str, groups: NDArray[np.int64], names: Sequence[str], seed: int = 0
) -> list[dict[str, Any]]:
    """As `rates_by_group` for recognisers that heard the same: `candidates` [{strategy, metrics}], and `gain`.

    Args:
        candidates: strategy -> errors, the baseline first.
        chosen: the strategy by whose word error rate the groups are ordered.

    Returns:
        The rows; `gain` is that of the last candidate over the first, None where there is but one.
    """
    found = []
    for name, members in _members(groups, names):
        own = {strategy: errors.take(members) for strategy, errors in candidates.items()}
        rates = {strategy: _rates(errors, seed) for strategy, errors in own.items()}
        before, after = next(iter(own.values())), list(own.values())[-1]
        gain = _told(after.gain_over(before, _units(after), seed)).json() if len(own) > 1 else None
        row = {
            **_counted(before, name),
            "candidates": [{"strategy": strategy, "metrics": metrics} for strategy, metrics in rates.items()],
            "gain": gain,
        }
        found.append((_worst(rates[chosen], row), row))
    return [row for _, row in sorted(found, key=lambda one: one[0])]


def _members(groups: NDArray[np.int64], names: Sequence[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """The name and the positions of each group that has any."""
    order = np.argsort(groups, kind="stable")
    codes, starts = np.unique(groups[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [(names[int(code)], members) for code, members in zip(codes, parts, strict=True)]


def _counted(errors: Errors, name: str) -> dict[str, Any]:
    return {"group": name or None, "n": len(errors), "words": int(errors.words.sum())}


def _rates(errors: Errors, seed: int) -> dict[str, dict[str, float | None]]:
    return {name: _told(rate).json() for name, rate in errors.rates(_units(errors), seed).items()}


def _units(errors: Errors) -> NDArray[np.int64] | None:
    """Codes of what is independent: each utterance; where they are too few, all are one unit, which has no interval."""
    return None if len(errors) >= FEWEST else np.zeros(len(errors), np.int64)


def _told(interval: Interval) -> Interval:
    """Without its ends where all utterances are alike."""
    return interval if interval.low < interval.high else Interval(interval.value, math.nan, math.nan)


def _worst(metrics: Mapping[str, Mapping[str, float | None]], row: Mapping[str, Any]) -> tuple[float, int, str]:
    """Sorts the highest word error rate first, of equal ones the most words; those without words last."""
    rate = metrics["word_error_rate"]["value"]
    return math.inf if rate is None else -rate, -row["words"], row["group"] or ""
