"""Which cut is trained above: by the work that lies there, counted by hand."""

from __future__ import annotations

import pytest

from headstart.adapt.cuts import anatomy
from headstart.adapt.last_stages import LastStages, LastStagesDeep, LastStagesLight

EVERY = (LastStagesLight(), LastStages(), LastStagesDeep())
# Multiply-adds of an image of 24 pixels in conftest's net: kernel x inputs of a group x outputs x positions.
STEM = 9 * 3 * 8 * 12**2
STAGE1 = (8 * 16 + 9 * 16 + 16 * 8) * 12**2
STAGE2 = 8 * 16 * 12**2 + (9 * 16 + 16 * 12) * 6**2
LAST = 12 * 24 * 6**2
WHOLE = STEM + STAGE1 + STAGE2 + LAST


def test_the_work_above_each_cut_is_that_counted_by_hand(image_source) -> None:
    found = anatomy(image_source)
    assert found.work == pytest.approx(WHOLE)
    assert [cut.depth for cut in found.cuts] == [1, 2]
    assert [cut.share for cut in found.cuts] == pytest.approx([(STAGE2 + LAST) / WHOLE, LAST / WHOLE])


@pytest.mark.parametrize("modality", ["image", "text", "sound"])
def test_as_much_is_trained_as_is_allowed_and_no_more(make_job, modality) -> None:
    """Brute force over all cuts; where even the deepest one leaves more above it than that, the deepest."""
    job = make_job(modality)
    cuts = anatomy(job.source).cuts
    for strategy in EVERY:
        allowed = [cut for cut in cuts if cut.share <= strategy.most]
        wanted = max(allowed, key=lambda cut: cut.share) if allowed else min(cuts, key=lambda cut: cut.share)
        assert strategy.cut(job) == wanted


def test_what_trains_more_is_expected_to_take_longer(make_job) -> None:
    """The order in which the race tries them, where it expects as much of each."""
    job = make_job("image")
    seconds = [strategy.estimated_seconds(job, 48) for strategy in EVERY]
    shares = [strategy.cut(job).share for strategy in EVERY]
    assert sorted(zip(shares, seconds, strict=True)) == list(zip(sorted(shares), sorted(seconds), strict=True))
