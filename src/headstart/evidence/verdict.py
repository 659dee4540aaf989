"""Did transfer pay? A gain with its interval, the sentence that says so, and which side ships.

Transfer pays only where the whole interval of the gain is above zero. Where the interval holds zero, what ships is the
side whose log loss is clearly better, in the same sense; where the log loss cannot tell either, the baseline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.digits import digits, points
from headstart.evidence.intervals import Interval, paired_difference

Floats = NDArray[np.float64]
Side = Literal["transfer", "baseline"]

_WORDS = {"samples_f1": "sample F1", "r2": "R2", "balanced_accuracy": "balanced accuracy"}
_LOSSES = {"r2": "RMSE", "balanced_accuracy": "balanced log loss"}
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
        ships: the side that does; None where nothing was scored.
        loss_gain: by how much transfer's log loss is lower; None for numbers, and where one side is missing.
    """

    transfer_helps: bool
    gain: Interval
    text: str
    ships: Side | None
    loss_gain: Interval | None = None

    def json(self) -> dict[str, Any]:
        """`transfer_helps`, `gain`, `text`, `ships`, `log_loss_gain`."""
        return {
            "transfer_helps": self.transfer_helps,
            "gain": self.gain.json(),
            "text": self.text,
            "ships": self.ships,
            "log_loss_gain": None if self.loss_gain is None else self.loss_gain.json(),
        }


def verdict(
    transfer: Contender | None,
    baseline: Contender | None,
    metric: str,
    groups: NDArray[np.int64] | None = None,
    gain: Interval | None = None,
    loss_gain: Interval | None = None,
    alone: float | None = None,
) -> Verdict:
    """Compare the chosen transfer candidate with the best baseline on the same items.

    Args:
        transfer: None where there is no source to transfer from.
        baseline: None where no baseline was scored.
        metric: the primary metric's name: `PRIMARY[task]`, or BALANCED.
        groups: (n,) codes of what is not independent.
        gain: where either side was selected among several, `selected_gain` of all of them; by default the paired
            difference of the two.
        loss_gain: by how much transfer's log loss is lower, likewise; None leaves it out.
        alone: where one side is missing, the other's score without the optimism of its selection; by default its mean.

    Raises:
        DataError: the two sides have scores of unequal numbers of items.
    """
    if transfer is None or baseline is None:
        side: Side | None = "transfer" if transfer else "baseline" if baseline else None
        return Verdict(False, _UNKNOWN, _one_side(transfer, baseline, metric, alone), side)
    gain = gain or paired_difference(transfer.item_scores, baseline.item_scores, groups)
    gained = f"{points(gain.value, '+')} points of {_WORDS.get(metric, metric)}"
    within = f"{gained} [{points(gain.low)}, {points(gain.high)}]"
    if gain.low > 0:
        text = f"transfer pays: {within} over {baseline.name} on the same folds"
        return Verdict(True, gain, text, "transfer", loss_gain)
    if gain.high < 0:
        text = f"transfer does not pay: {within} against {baseline.name} on the same folds; {baseline.name} ships"
        return Verdict(False, gain, text, "baseline", loss_gain)
    loss = _LOSSES.get(metric, "log loss")
    ships, why = _by_loss(transfer, baseline, loss, loss_gain)
    if not (math.isfinite(gain.low) and math.isfinite(gain.high)):
        seen = f"{gained} against {baseline.name}, from too few independent groups for an interval"
    else:
        losses = ""
        if transfer.log_loss is not None and baseline.log_loss is not None:
            losses = f" ({loss} {digits(transfer.log_loss)} against {digits(baseline.log_loss)})"
        width = f"The interval is {points(gain.high - gain.low)} points wide and holds zero"
        seen = f"{within} against {baseline.name} on the same folds{losses}. {width}"
    return Verdict(False, gain, f"cannot tell whether transfer pays: {seen}{why}", ships, loss_gain)


def _by_loss(transfer: Contender, baseline: Contender, loss: str, gain: Interval | None) -> tuple[Side, str]:
    """What ships where the metric cannot tell, and why."""
    if gain is not None and gain.low > 0:
        return "transfer", f"; but the {loss} of {transfer.name} is {_better(gain)}, so {transfer.name} ships"
    if gain is not None and gain.high < 0:
        turned = Interval(-gain.value, -gain.high, -gain.low)
        return "baseline", f"; the {loss} of {baseline.name} is {_better(turned)}, so {baseline.name} ships"
    return "baseline", f"; {baseline.name} ships, as the cheaper of the two"


def _better(gain: Interval) -> str:
    return f"better by {gain.value:.2g} [{gain.low:.2g}, {gain.high:.2g}]"


def _one_side(transfer: Contender | None, baseline: Contender | None, metric: str, score: float | None) -> str:
    there = transfer or baseline
    if there is None:
        return "nothing was scored, so there is no verdict on transfer"
    score = float(there.item_scores.mean()) if score is None else score
    reached = f"{points(score)} points of {_WORDS.get(metric, metric)}"
    if transfer is None:
        return f"no source to transfer from: {there.name} ships with {reached}"
    return f"no baseline was scored, so whether transfer pays is not known: {there.name} has {reached}"
