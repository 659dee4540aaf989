"""Pictures vary, within bounds, by the generator alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torchvision")

from headstart.adapt.augment import SMALLEST_CROP, augment

RAMP = np.broadcast_to(np.linspace(60, 160, 40).astype(np.uint8)[None, :, None], (40, 40, 3)).copy()


def test_the_same_generator_gives_the_same_picture() -> None:
    one, two = (augment(RAMP, np.random.default_rng(4)) for _ in range(2))
    assert one.shape == RAMP.shape
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)


def test_half_are_mirrored_and_none_is_far_off() -> None:
    found = [augment(RAMP, np.random.default_rng(seed)).astype(int) for seed in range(200)]
    rising = np.mean([image[:, -1].mean() > image[:, 0].mean() for image in found])
    assert 0.4 < rising < 0.6
    assert len({image.tobytes() for image in found}) == 200
    means = np.array([image.mean() for image in found])
    assert abs(means - 110).max() < 110 * 0.2 + 20
    spans = [abs(image[:, -1].mean() - image[:, 0].mean()) for image in found]  # a crop shows less of the ramp
    assert min(spans) > 100 * SMALLEST_CROP * 0.75 * 0.8
    assert max(spans) <= 100 * 1.2 * 1.2 + 2


def test_the_original_is_left_alone() -> None:
    before = RAMP.copy()
    RAMP.setflags(write=False)
    augment(RAMP, np.random.default_rng(0))
    np.testing.assert_array_equal(RAMP, before)
