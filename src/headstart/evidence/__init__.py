"""Is it good, is it honest: metrics, intervals, calibration, selection and its optimism, verdict. Sees arrays only."""

from headstart.evidence.calibration import Calibration
from headstart.evidence.intervals import Interval, mean_interval, paired_difference
from headstart.evidence.metric_intervals import with_intervals
from headstart.evidence.metrics import PRIMARY, confusion, item_scores, predicted, score
from headstart.evidence.optimism import Candidates, Corrected, corrected, selected_gain
from headstart.evidence.selection import Rule, choose, highest_mean, one_standard_error
from headstart.evidence.verdict import Contender, Verdict, verdict

__all__ = [
    "PRIMARY",
    "Calibration",
    "Candidates",
    "Contender",
    "Corrected",
    "Interval",
    "Rule",
    "Verdict",
    "choose",
    "confusion",
    "corrected",
    "highest_mean",
    "item_scores",
    "mean_interval",
    "one_standard_error",
    "paired_difference",
    "predicted",
    "score",
    "selected_gain",
    "verdict",
    "with_intervals",
]
