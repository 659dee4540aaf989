import colorsys

import numpy as np
import pytest
from scipy import stats
from skimage.feature import hog as reference_hog

from headstart.features import hog


@pytest.fixture(scope="module")
def thumbnails():
    """Noise, smooth ramps, a flat image and edges: 140 images, so that there is more than one chunk."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (134, 64, 64, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(64)[:, None, None] * 4, (64, 64, 3)).astype(np.uint8)
    flat = np.full((64, 64, 3), 77, np.uint8)
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:, 1] = 255
    return np.concatenate([noise, np.stack([ramp, ramp.transpose(1, 0, 2), 255 - ramp, flat, edge, edge[::-1, ::-1]])])


def column(described, name):
    return described[:, hog.names().index(name)]


def test_oriented_gradients_equal_skimage(thumbnails):
    ours = hog.oriented_gradients(np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2)))
    for i in (*range(5), *range(134, 140)):
        expected = reference_hog(
            thumbnails[i], 9, (8, 8), (2, 2), block_norm="L2-Hys", channel_axis=-1, feature_vector=True
        )
        np.testing.assert_allclose(ours[i], expected, atol=2e-5)


def test_every_column_has_one_name_and_is_finite(thumbnails):
    described = hog.describe(thumbnails)
    assert described.shape == (140, len(hog.names()))
    assert described.dtype == np.float32
    assert len(set(hog.names())) == len(hog.names())
    assert np.isfinite(described).all()


def test_neighbours_do_not_change_an_image(thumbnails):
    together = hog.describe(thumbnails)
    np.testing.assert_array_equal(together[133:], hog.describe(thumbnails[133:]))
    alone = np.concatenate([hog.describe(thumbnails[i : i + 1]) for i in range(130, 140)])
    np.testing.assert_array_equal(together[130:], alone)


def test_moments_equal_numpy_and_scipy(thumbnails):
    described = hog.describe(thumbnails)
    pixels = thumbnails.astype(np.float64) / 255
    np.testing.assert_allclose(column(described, "mean.g.whole"), pixels[..., 1].mean((1, 2)), atol=2e-5)
    np.testing.assert_allclose(column(described, "std.r.top-right"), pixels[:, :32, 32:, 0].std((1, 2)), atol=2e-5)
    noise = pixels[:134, 32:, :32, 2].reshape(134, -1)
    third = column(described[:134], "skew.b.bottom-left") ** 3
    np.testing.assert_allclose(third, stats.moment(noise, 3, axis=1), atol=1e-6)


def test_colour_histogram_equals_colorsys(thumbnails):
    """Of the colours rounded to the middle of 4 neighbouring levels a channel."""
    counts = np.zeros((8, 3, 3))
    for pixel in (thumbnails[0].reshape(-1, 3) // 4 * 4 + 1.5) / 255:
        h, s, v = colorsys.rgb_to_hsv(*map(float, pixel))
        counts[min(int(h * 8), 7), min(int(s * 3), 2), min(int(v * 3), 2)] += 1
    described = hog.describe(thumbnails[:1])
    ours = [column(described, f"hsv{h}-{s}-{v}.whole")[0] ** 2 for h, s, v in np.ndindex(8, 3, 3)]
    # A colour on the border of two bins may fall to either side.
    assert np.abs(np.array(ours) * 4096 - counts.ravel()).sum() <= 4096 * 0.005


def test_colours_of_each_quarter(thumbnails):
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, 32:, :32] = (250, 2, 2)
    described = hog.describe(image)
    assert column(described, "hsv0-2-2.bottom-left")[0] == 1
    assert column(described, "hsv0-2-2.whole")[0] == 0.5
    assert column(described, "hsv0-0-0.top-right")[0] == 1
    assert column(described, "hsv0-2-2.top-right")[0] == 0


def test_grey_levels_are_the_means_of_cells(thumbnails):
    luma = thumbnails / 255 @ np.array([0.299, 0.587, 0.114])
    described = hog.describe(thumbnails)
    np.testing.assert_allclose(column(described, "grey2-5"), luma[:, 16:24, 40:48].mean((1, 2)), atol=2e-5)


def test_no_images_give_no_rows():
    assert hog.describe(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, len(hog.names()))


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 64, 64, 3\)"):
        hog.describe(np.zeros((2, 32, 32, 3), np.uint8))
