"""What a training is fed of sounds: every window where it is read, one where it learns, and what an item costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from headstart.adapt import estimates
from headstart.adapt.cuts import anatomy
from headstart.adapt.extent import extent
from headstart.adapt.inputs import inputs_of
from headstart.adapt.ragged import ITEMS, LENGTHS
from headstart.adapt.recipe import Recipe
from headstart.adapt.sound_inputs import together
from headstart.adapt.tuning import schedule
from headstart.errors import ItemError

TRAIN, TEST = np.arange(8), np.arange(8, 14)


def length_of(path) -> int:
    """Samples at 16 kHz, of files at 8 kHz."""
    import soundfile

    return 2 * int(soundfile.info(str(path)).frames)


@pytest.fixture(params=["whole", "cut"])
def fed(request, make_job):
    job = make_job("sound")
    cut = anatomy(job.source).cuts[-1] if request.param == "cut" else None
    return job, cut, inputs_of(job, cut, TRAIN, TEST, 3)


def test_all_windows_are_read_and_one_is_learned(fed) -> None:
    job, cut, inputs = fed
    name = cut.tensor if cut else "mel"
    counts = [-(-length_of(job.items[p]) // 12_800) for p in TRAIN]  # windows of 0.8 s
    assert max(counts) > 1
    read = inputs.feeds(TRAIN, None)
    assert np.bincount(read[ITEMS]).tolist() == counts
    assert len(read[name]) == len(read[LENGTHS]) == sum(counts)
    learned = inputs.feeds(TRAIN, np.random.default_rng(0))
    assert ITEMS not in learned
    assert len(learned[name]) == len(learned[LENGTHS]) == len(TRAIN)
    assert np.isfinite(learned[name]).all()
    alone = [p for p, count in zip(TRAIN, counts, strict=True) if count == 1][:1]
    assert ITEMS not in inputs.feeds(np.array(alone), None)


def test_draws_decide_and_views_differ(fed) -> None:
    _, cut, inputs = fed
    name = cut.tensor if cut else "mel"
    one, two, other = (inputs.feeds(TRAIN, np.random.default_rng(seed))[name] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_what_was_kept_is_taken_up(fed, monkeypatch) -> None:
    job, cut, inputs = fed
    monkeypatch.setattr("headstart.adapt.sound_rows.samples_of", lambda *_: pytest.fail("decoded again"))
    again = inputs_of(job, cut, TRAIN, TEST, 3)
    for rng in (None, 5):
        one, two = (x.feeds(TRAIN, None if rng is None else np.random.default_rng(rng)) for x in (inputs, again))
        for name, values in one.items():
            np.testing.assert_array_equal(values, two[name])


@pytest.mark.parametrize("cached", [True, False])
def test_a_file_that_is_gone_is_named(make_job, tmp_path, monkeypatch, cached) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "empty"))
    job = make_job("sound")
    items = [*job.items[:3], tmp_path / "gone.wav", *job.items[4:]]
    cut = anatomy(job.source).cuts[0] if cached else None
    with pytest.raises(ItemError, match="the file cannot be read"):
        inputs_of(replace(job, items=items), cut, TRAIN, TEST, 1)


def test_the_cost_of_an_item_is_that_of_its_length(make_job) -> None:
    job = make_job("sound")
    found, unit = extent(job), 0.4  # half a window
    seconds = np.mean([length_of(path) / 16_000 for path in job.items])
    assert found.seconds == pytest.approx(seconds, rel=0.2)
    assert found.whole == pytest.approx(found.seconds / unit)
    assert found.window == pytest.approx(min(found.seconds, 0.8) / unit)
    assert found.of_views(3) == pytest.approx(found.whole + 2 * found.window)
    fixed = replace(job, source=replace(job.source, input=replace(job.source.input, frames=80)))
    assert (extent(fixed).whole, extent(fixed).window) == (np.ceil(found.seconds / 0.8), 1.0)
    texts = make_job("text")
    assert (extent(texts).whole, extent(texts).window) == (1.0, 1.0)


def test_activations_take_about_what_is_estimated(make_job) -> None:
    job = make_job("sound")
    cut, rows = anatomy(job.source).cuts[0], np.arange(len(job.items))
    estimated = estimates.activations_bytes(job, Recipe(schedule(8), cut, views=3), len(rows))
    inputs = inputs_of(job, cut, rows, rows, 3)
    kept = sum(row.nbytes for view in inputs.keys for windows in view.values() for row in inputs.rows.take(windows))
    assert 0.6 * estimated < kept < 1.5 * estimated


def test_long_windows_go_through_few_at_a_time() -> None:
    assert [together(p) for p in (1, 300, 600, 1_500, 30_000)] == [32, 32, 8, 1, 1]
