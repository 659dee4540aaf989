"""How sounds are varied: within the stated bounds, from the generator alone."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.adapt.augment_sound import SHORTEST_CROP, mask, vary


def tone(length: int) -> np.ndarray:
    return (0.3 * np.sin(np.arange(length) / 5)).astype(np.float32)


@pytest.mark.parametrize("length", [1, 2, 800, 16_000])
def test_a_variation_is_a_noisy_louder_or_softer_part(length: int) -> None:
    whole = tone(length)
    for seed in range(20):
        found = vary(whole, np.random.default_rng(seed))
        assert found.dtype == np.float32
        assert max(1, int(SHORTEST_CROP * length)) <= len(found) <= length
        assert np.isfinite(found).all()
        if length < 800:
            continue
        # Least squares against every part of this length: one of them explains all but the noise.
        starts = range(length - len(found) + 1)
        fits = [float(whole[s : s + len(found)] @ found) for s in starts]
        part = whole[int(np.argmax(fits)) :][: len(found)]
        gain = float(part @ found) / float(part @ part)
        assert 10 ** (-6.2 / 20) < gain < 10 ** (6.2 / 20)
        assert np.std(found - gain * part) < 10 ** (-14 / 20) * np.std(found)


def test_silence_stays_silent_and_the_original_as_it_was() -> None:
    silence, whole = np.zeros(500, np.float32), tone(500)
    assert not vary(silence, np.random.default_rng(0)).any()
    before = whole.copy()
    vary(whole, np.random.default_rng(0))
    mask(whole, np.random.default_rng(0))
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize("shape", [(80, 300), (10, 3), (5_000,)])
def test_a_mask_is_the_mean_on_a_fifth_of_each_axis_at_most(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, shape).astype(np.float32)
    masked = 0
    for seed in range(30):
        found = mask(values, np.random.default_rng(seed))
        changed = found != values
        assert np.unique(found[changed]).size <= 1
        if changed.any():
            assert found[changed][0] == values.mean()
        whole = [changed.all(axis=tuple(a for a in range(len(shape)) if a != axis)).sum() for axis in range(len(shape))]
        assert all(count <= 0.2 * size for count, size in zip(whole, shape, strict=True))
        assert changed.mean() <= 0.4
        masked += bool(changed.any())
    assert masked > 20 or shape == (10, 3)


def test_the_same_draws_give_the_same_sound() -> None:
    one, two = (vary(tone(900), np.random.default_rng([2, 7])) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, vary(tone(900), np.random.default_rng([3, 7])))
