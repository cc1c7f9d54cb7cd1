# SPDX-License-Identifier: Apache-2.0
"""Galaxy views: geometry, blur and noise are what their arguments say."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from astrojax.augment import galaxy
from astrojax.errors import UserError

OFF = {
    "crop": 16,
    "rotate": False,
    "flip": False,
    "zoom": (1.0, 1.0),
    "shift": 0.0,
    "noise": None,
    "blur": None,
}


def view(key, images, **changes):
    fn = jax.jit(partial(galaxy.galaxy_view, **{**OFF, **changes}))
    return np.asarray(fn(jax.random.key(key), images))


def spots(batch, size, *, dy=0.0, dx=0.0, sigma=3.0):
    """A Gaussian spot at an offset from the centre of each stamp."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    spot = np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * sigma**2))
    return jnp.asarray(np.tile(spot[None, :, :, None], (batch, 1, 1, 1)), jnp.float32)


def centroid(images):
    """Flux-weighted offset from the centre, [b 2]."""
    y, x = np.indices(images.shape[1:3]) - (images.shape[1] - 1) / 2
    flux = images[..., 0]
    total = flux.sum((1, 2))
    return np.stack([(flux * y).sum((1, 2)), (flux * x).sum((1, 2))], 1) / total[:, None]


def test_nothing_switched_on_is_the_central_crop():
    images = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 2)).astype(np.uint8)
    out = view(0, jnp.asarray(images))
    assert out.dtype == np.float32
    # One division and one product with a weight of 1, in float32.
    np.testing.assert_allclose(out, images[:, 2:18, 2:18] / 255, rtol=1e-6)


def test_rotation_is_uniform_over_the_circle_and_flip_halves():
    images = spots(512, 48, dy=8.0)
    turned = centroid(view(0, images, crop=48, rotate=True))
    # Bilinear interpolation of a smooth spot moves its centroid by much less than 0.1 pixel.
    np.testing.assert_allclose(np.hypot(*turned.T), 8.0, atol=0.1)
    angle = np.sort(np.arctan2(turned[:, 1], turned[:, 0])) / (2 * np.pi) + 0.5
    # Kolmogorov-Smirnov distance of 512 uniform numbers: below 1.95 / sqrt(512) in 99.9 %.
    assert np.abs(angle - np.arange(512) / 512).max() < 0.086
    flipped = centroid(view(1, spots(512, 48, dx=8.0), crop=48, flip=True))[:, 1]
    np.testing.assert_allclose(np.abs(flipped), 8.0, atol=1e-3)
    assert abs((flipped < 0).mean() - 0.5) < 0.075  # 3.4 sigma of a fair coin, 512 times


def test_rotation_equals_scipy():
    """The resampling of a known turn, inside the circle that no border touches."""
    image = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    theta = 0.7
    matrix = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    centre = np.array([11.5, 11.5])
    want = ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1)
    got = galaxy._resample(
        jnp.asarray(image)[..., None], jnp.asarray(matrix), jnp.asarray(centre), 24
    )[..., 0]
    np.testing.assert_allclose(got[4:-4, 4:-4], want[4:-4, 4:-4], atol=1e-5)  # float32 positions


def test_zoom_and_shift_cover_their_ranges():
    width = spots(256, 64, sigma=4.0)
    out = view(0, width, crop=64, zoom=(0.5, 2.0))[..., 0]
    zoom = np.sqrt(out.sum((1, 2)) / np.asarray(width)[..., 0].sum((1, 2)))
    # The flux of a surface brightness grows as the square of the magnification.
    assert 0.49 < zoom.min() < 0.55 and 1.85 < zoom.max() < 2.01
    assert abs(np.log(zoom).mean()) < 0.1  # log-uniform: 0 +- 0.4 / sqrt(256), four times
    moved = -centroid(view(1, spots(256, 64), crop=64, shift=4.0))
    assert np.abs(moved).max() < 4.01
    np.testing.assert_allclose(moved.std(0), 4 / np.sqrt(3), rtol=0.15)
    assert np.abs(moved.mean(0)).max() < 0.6  # 4 sigma of 2.3 / sqrt(256)


def test_outside_is_zero_and_a_large_stamp_shows_none():
    ones = jnp.ones((64, 48, 48, 1))
    np.testing.assert_allclose(view(0, ones, crop=30, rotate=True, shift=2.0), 1.0, atol=1e-5)
    assert view(0, ones, crop=48, rotate=True).min() == 0.0


def test_samples_differ_and_keys_repeat():
    images = spots(4, 32, dy=5.0)
    settings = {"crop": 32, "rotate": True, "noise": (0.1,)}
    first = view(0, images, **settings)
    assert all(np.abs(first[0] - other).max() > 0.1 for other in first[1:])
    np.testing.assert_array_equal(first, view(0, images, **settings))
    assert np.abs(first - view(1, images, **settings)).max() > 0.1


def test_noise_has_the_sigma_of_each_band_and_is_white():
    sigma = np.array([0.1, 1.0, 5.0])
    noise = view(0, jnp.zeros((64, 20, 20, 3)), crop=20, noise=tuple(sigma))
    # 25,600 numbers per band: the standard deviation scatters by 0.44 %.
    np.testing.assert_allclose(noise.std((0, 1, 2)), sigma, rtol=0.02)
    unit = noise / sigma
    for neighbour in (np.roll(unit, 1, 0), np.roll(unit, 1, 1), np.roll(unit, 1, 2)):
        assert abs((unit * neighbour).mean()) < 0.02  # 1 / sqrt(76,800) = 0.0036, five times
    assert abs((unit[..., 0] * unit[..., 1]).mean()) < 0.03


@pytest.mark.parametrize("sigma", [0.6, 2.0])
def test_blur_equals_scipy(sigma):
    images = np.random.default_rng(0).normal(size=(2, 24, 20, 2)).astype(np.float32)
    got = galaxy.gaussian_blur(jnp.asarray(images), jnp.full(2, sigma), radius=9)
    want = ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="mirror", radius=(0, 9, 9, 0))
    np.testing.assert_allclose(got, want, atol=1e-5)  # float32 sums of 400 terms


def test_blur_widens_within_its_range_and_keeps_flux():
    images = spots(128, 48, sigma=2.0)
    out = view(0, images, crop=48, blur=(0.0, 1.5))[..., 0]
    np.testing.assert_allclose(out.sum((1, 2)), np.asarray(images)[0].sum(), rtol=1e-4)
    y = np.arange(48) - 23.5
    width = np.sqrt((out * y[:, None] ** 2).sum((1, 2)) / out.sum((1, 2)))
    added = np.sqrt(np.maximum(width**2 - width.min() ** 2, 0))
    assert 1.3 < added.max() < 1.51
    still = galaxy.gaussian_blur(images, jnp.zeros(128), radius=5)
    np.testing.assert_allclose(still, images, atol=1e-7)  # sigma 0 is the identity


@pytest.mark.parametrize(
    "wrong",
    [{"crop": 33}, {"zoom": (2.0, 1.0)}, {"blur": (1.0,)}, {"noise": (1.0, 1.0)}],
)
def test_bad_arguments_are_named(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        view(0, jnp.zeros((1, 32, 32, 1)), **wrong)
