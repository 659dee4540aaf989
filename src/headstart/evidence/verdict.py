"""Did transfer pay? A gain with its interval, and the sentence that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.evidence.intervals import Interval, mean_interval, paired_difference

Floats = NDArray[np.float64]

_WORDS = {"samples_f1": "sample F1", "r2": "R2", "balanced_accuracy": "balanced accuracy"}
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Contender:
    """One side of the comparison.

    Attributes:
        name: what to call it in the sentence: "HOG + boosted trees".
        item_scores: (n,) out-of-fold, from `metrics.item_scores`.
        log_loss: mentioned where the primary metric cannot tell; for numbers the root mean squared error; None where
            there is none.
    """

    name: str
    item_scores: Floats
    log_loss: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether transfer helps: only where the whole interval of the gain is above zero.

    Attributes:
        gain: in the metric's own unit (0.338, not 33.8); nan where one side is missing.
        text: one or two sentences, numbers in points (hundredths).
    """

    transfer_helps: bool
    gain: Interval
    text: str

    def json(self) -> dict[str, Any]:
        """`transfer_helps`, `gain`, `text`."""
        return {"transfer_helps": self.transfer_helps, "gain": self.gain.json(), "text": self.text}


def verdict(
    transfer: Contender | None,
    baseline: Contender | None,
    metric: str,
    groups: NDArray[np.int64] | None = None,
    gain: Interval | None = None,
) -> Verdict:
    """Compare the chosen transfer candidate with the best baseline on the same items.

    Args:
        transfer: None where there is no source to transfer from.
        baseline: None where no baseline was scored.
        metric: the primary metric's name: `PRIMARY[task]`, or BALANCED.
        groups: (n,) codes of what is not independent.
        gain: where either side was selected among several, `selected_gain` of all of them; by default the paired
            difference of the two.

    Raises:
        DataError: the two sides have scores of unequal numbers of items.
    """
    if transfer is None or baseline is None:
        return Verdict(False, _UNKNOWN, _one_side(transfer, baseline, metric))
    gain = gain or paired_difference(transfer.item_scores, baseline.item_scores, groups)
    return Verdict(gain.low > 0, gain, _sentence(transfer, baseline, _WORDS.get(metric, metric), gain))


def _sentence(transfer: Contender, baseline: Contender, metric: str, gain: Interval) -> str:
    low, high = 100 * gain.low, 100 * gain.high
    points = f"{100 * gain.value:+.1f} points of {metric} [{low:.1f}, {high:.1f}]"
    if gain.low > 0:
        return f"transfer pays: {points} over {baseline.name} on the same folds"
    if gain.high < 0:
        return f"transfer does not pay: {points} against {baseline.name} on the same folds; {baseline.name} ships"
    if not (math.isfinite(low) and math.isfinite(high)):
        return (
            f"cannot tell whether transfer pays: {100 * gain.value:+.1f} points of {metric} against {baseline.name}, "
            f"from too few independent groups for an interval; {baseline.name} ships, as the cheaper of the two"
        )
    losses = ""
    if transfer.log_loss is not None and baseline.log_loss is not None:
        name = "RMSE" if metric == _WORDS["r2"] else "log loss"
        losses = f" ({name} {transfer.log_loss:.2f} against {baseline.log_loss:.2f})"
    return (
        f"cannot tell whether transfer pays: {points} against {baseline.name} on the same folds{losses}. "
        f"The interval is {high - low:.1f} points wide and holds zero; {baseline.name} ships, as the cheaper of the two"
    )


def _one_side(transfer: Contender | None, baseline: Contender | None, metric: str) -> str:
    alone = transfer or baseline
    if alone is None:
        return "nothing was scored, so there is no verdict on transfer"
    own = mean_interval(alone.item_scores)
    points = f"{100 * own.value:.1f} points of {_WORDS.get(metric, metric)}"
    if transfer is None:
        return f"no source to transfer from: {alone.name} ships with {points}"
    return f"no baseline was scored, so whether transfer pays is not known: {alone.name} has {points}"
