from __future__ import annotations

import json
import math

import numpy as np
import pytest

from headstart.evidence import Contender, Interval, item_scores, score, verdict
from headstart.tasks import Target


def side(name: str, right: int, n: int = 200, log_loss: float | None = None) -> Contender:
    return Contender(name, np.repeat([1.0, 0.0], [right, n - right]), log_loss)


def test_transfer_pays():
    got = verdict(side("ridge", 190), side("HOG + boosted trees", 120), "accuracy")
    assert got.transfer_helps
    low, high = 100 * got.gain.low, 100 * got.gain.high
    assert got.text == (
        f"transfer pays: +35.0 points of accuracy [{low:.1f}, {high:.1f}] over HOG + boosted trees on the same folds"
    )


def test_transfer_does_not_pay():
    got = verdict(side("ridge", 120), side("trees", 190), "accuracy")
    assert not got.transfer_helps
    assert got.text.startswith("transfer does not pay: -35.0 points of accuracy [")
    assert got.text.endswith("trees ships")


def test_it_cannot_tell():
    got = verdict(side("ridge", 150, log_loss=0.4), side("trees", 148, log_loss=1.25), "accuracy")
    assert not got.transfer_helps
    assert got.gain.low < 0 < got.gain.high
    width = 100 * (got.gain.high - got.gain.low)
    assert "cannot tell whether transfer pays: +1.0 points" in got.text
    assert "(log loss 0.40 against 1.25)" in got.text
    assert f"{width:.1f} points wide and holds zero; trees ships, as the cheaper of the two" in got.text


def test_where_it_cannot_tell_the_log_loss_says_what_ships():
    ours, theirs = side("ridge", 150, log_loss=0.16), side("trees", 148, log_loss=0.27)
    better = verdict(ours, theirs, "accuracy", loss_gain=Interval(0.11, 0.05, 0.17))
    assert not better.transfer_helps
    assert better.ships == "transfer"
    assert better.text.startswith("cannot tell whether transfer pays: +1.0 points")
    assert better.text.endswith("holds zero; but the log loss of ridge is better by 0.11 [0.05, 0.17], so ridge ships")
    assert better.json()["log_loss_gain"] == {"value": 0.11, "low": 0.05, "high": 0.17}
    worse = verdict(ours, theirs, "accuracy", loss_gain=Interval(-0.11, -0.17, -0.05))
    assert worse.ships == "baseline"
    assert worse.text.endswith("the log loss of trees is better by 0.11 [0.05, 0.17], so trees ships")
    neither = verdict(ours, theirs, "accuracy", loss_gain=Interval(0.01, -0.05, 0.06))
    assert neither.ships == "baseline"
    assert neither.text.endswith("trees ships, as the cheaper of the two")


def test_where_it_can_tell_the_log_loss_changes_nothing():
    ours, theirs = side("ridge", 190), side("trees", 120)
    got = verdict(ours, theirs, "accuracy", loss_gain=Interval(-0.1, -0.2, -0.05))
    assert (got.transfer_helps, got.ships) == (True, "transfer")
    got = verdict(theirs, ours, "accuracy", loss_gain=Interval(0.1, 0.05, 0.2))
    assert (got.transfer_helps, got.ships) == (False, "baseline")
    assert got.json()["ships"] == "baseline"


def test_the_loss_of_numbers_is_called_by_its_name():
    ours = Contender("ridge", np.array([0.5, 0.2, 0.9, 0.4]), 3.0)
    got = verdict(ours, Contender("trees", np.array([0.4, 0.4, 0.8, 0.5]), 3.5), "r2")
    assert "points of R2" in got.text
    assert "(RMSE 3.00 against 3.50)" in got.text
    got = verdict(ours, Contender("trees", np.array([0.4, 0.4, 0.8, 0.5]), 4.5e-7), "r2")
    assert "(RMSE 3.00 against 4.5e-07)" in got.text


def test_a_given_gain_counts_and_groups_do():
    ours, theirs = side("ridge", 190), side("trees", 120)
    honest = verdict(ours, theirs, "accuracy", gain=Interval(0.02, -0.01, 0.05))
    assert not honest.transfer_helps
    assert "+2.0 points of accuracy [-1.0, 5.0]" in honest.text
    grouped = verdict(ours, theirs, "accuracy", groups=np.repeat([0, 1, 2, 3], 50))
    assert not grouped.transfer_helps  # the gain is in two of four groups
    alone = verdict(ours, theirs, "accuracy", groups=np.zeros(200, np.int64))
    assert not alone.transfer_helps
    assert "too few independent groups" in alone.text


@pytest.mark.parametrize(
    ("transfer", "baseline", "words"),
    [
        (None, side("trees", 120), "no source to transfer from: trees ships with 60.0 points of accuracy"),
        (side("ridge", 120), None, "whether transfer pays is not known: ridge has 60.0 points of accuracy"),
        (None, None, "nothing was scored"),
    ],
)
def test_one_side_missing(transfer, baseline, words):
    got = verdict(transfer, baseline, "accuracy")
    assert not got.transfer_helps
    assert words in got.text
    assert math.isnan(got.gain.value)
    assert json.loads(json.dumps(got.json(), allow_nan=False))["gain"] == {"value": None, "low": None, "high": None}


def test_one_side_missing_is_told_without_its_optimism():
    got = verdict(None, side("trees", 120), "accuracy", alone=0.584)
    assert "trees ships with 58.4 points of accuracy" in got.text


def test_numbers_are_compared_in_points_of_r2():
    rng = np.random.default_rng(0)
    target = Target("regression", rng.normal(size=100), ("v",))
    near, far = (target.y[:, None] + noise * rng.normal(size=(100, 1)) for noise in (0.2, 0.8))
    got = verdict(Contender("ridge", item_scores(target, near)), Contender("mean", item_scores(target, far)), "r2")
    assert got.gain.value == pytest.approx(score(target, near)["r2"] - score(target, far)["r2"])
    assert got.transfer_helps
    assert "points of R2 [" in got.text


def test_what_rounds_to_zero_has_no_sign():
    ours, theirs = side("ridge", 150), side("trees", 150)
    text = verdict(ours, theirs, "accuracy", gain=Interval(-0.0003, -0.02, -0.0)).text
    assert text.startswith("cannot tell whether transfer pays: 0.0 points of accuracy [-2.0, 0.0] against trees")
    assert verdict(ours, theirs, "accuracy", gain=Interval(-0.0003, -0.02, 0.02)).gain.value == -0.0003
