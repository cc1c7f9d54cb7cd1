# SPDX-License-Identifier: Apache-2.0
"""Natural-image views: the distributions of torchvision's transforms."""

import colorsys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.augment import natural
from astrojax.errors import UserError

OFF = {
    "crop": 16,
    "interpolation": "bilinear",
    "scale": (1.0, 1.0),
    "aspect": (1.0, 1.0),
    "flip": False,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "jitter_probability": 0.0,
    "grey_probability": 0.0,
    "blur_sigma": (0.1, 2.0),
    "blur_probability": 0.0,
    "solarize_probability": 0.0,
}
JITTER = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
RNG = np.random.default_rng(0)


def view(key, images, **changes):
    fn = jax.jit(partial(natural.natural_view, **{**OFF, **changes}))
    return np.asarray(fn(jax.random.key(key), jnp.asarray(images)))


def jitter(images, **changes):
    fn = partial(natural.color_jitter, **{**JITTER, **changes})
    return np.asarray(jax.jit(fn)(jax.random.key(0), jnp.asarray(images)))


def reference_boxes(rng, count, size, scale, aspect):
    """torchvision's RandomResizedCrop.get_params, in NumPy."""
    out = []
    for _ in range(count):
        for _ in range(10):
            area = size * size * rng.uniform(*scale)
            ratio = np.exp(rng.uniform(*np.log(aspect)))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < w <= size and 0 < h <= size:
                top, left = rng.integers(0, size - h + 1), rng.integers(0, size - w + 1)
                break
        else:
            top, left, h, w = 0, 0, size, size
        out.append((top, left, h, w))
    return np.array(out)


def distance(a, b):
    """Largest difference of two empirical distribution functions (Kolmogorov-Smirnov)."""
    grid = np.sort(np.concatenate([a, b]))
    both = [np.searchsorted(np.sort(x), grid, side="right") / len(x) for x in (a, b)]
    return np.abs(both[0] - both[1]).max()


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.05, 0.4)])
def test_crop_boxes_follow_torchvision(scale):
    aspect, size, count = (3 / 4, 4 / 3), 64, 8000
    boxes = jax.jit(
        partial(natural.crop_boxes, batch=count, size=(size, size), scale=scale, aspect=aspect)
    )(jax.random.key(0))
    got, want = np.asarray(boxes), reference_boxes(RNG, count, size, scale, aspect)
    assert (got[:, :2] >= 0).all() and (got[:, :2] + got[:, 2:] <= size).all()
    quantities = {
        "area": lambda b: b[:, 2] * b[:, 3],
        "aspect": lambda b: b[:, 3] / b[:, 2],
        "top": lambda b: b[:, 0],
        "left": lambda b: b[:, 1],
    }
    for name, quantity in quantities.items():
        # Two samples of 8000 differ by less than 1.95 sqrt(2 / 8000) in 99.9 % of cases.
        assert distance(quantity(got), quantity(want)) < 0.031, name


def test_impossible_crops_fall_back_to_the_centre():
    """An area that no allowed aspect can hold: the largest central box of that aspect."""
    draw = partial(natural.crop_boxes, batch=4, scale=(1.0, 1.0), aspect=(1.0, 1.0))
    boxes = draw(jax.random.key(0), size=(20, 32))
    np.testing.assert_array_equal(boxes, [[0, 6, 20, 20]] * 4)


def test_whole_image_crop_is_the_image_and_flip_mirrors_half():
    images = RNG.integers(0, 255, (64, 16, 16, 3)).astype(np.uint8)
    # One multiplication and sums of zeros: float32 rounding.
    np.testing.assert_allclose(view(0, images), images / 255, atol=1e-6)
    out = view(0, images, flip=True)
    mirrored = np.abs(out - images[:, :, ::-1] / 255).max((1, 2, 3)) < 1e-6
    assert 16 < mirrored.sum() < 48  # 4 sigma of a fair coin, 64 times
    np.testing.assert_allclose(out[~mirrored], images[~mirrored] / 255, atol=1e-6)


@pytest.mark.parametrize("size", [40, 9])
def test_bicubic_is_keys_cubic_with_antialiasing_cut_to_the_range(size):
    images = np.empty((2, size, size, 3), np.float32)
    images[:, : size // 2], images[:, size // 2 :] = 0.0, 1.0  # an edge, where a cubic overshoots
    # JAX's cubic has Pillow's a = -1/2, and widens with the reduction as well.
    whole = jax.image.resize(images, (2, 16, 16, 3), "cubic")
    assert np.min(whole) < 0 and np.max(whole) > 1
    found = view(0, images, interpolation="bicubic")
    np.testing.assert_allclose(found, np.clip(whole, 0, 1), atol=1e-5)  # float32 sums


@pytest.mark.parametrize("size", [40, 9])
def test_resize_equals_torch_with_antialiasing(size):
    functional = pytest.importorskip("torch.nn.functional", reason="needs the torch extra")
    import torch

    image = RNG.uniform(size=(1, 3, size, size)).astype(np.float32)
    want = functional.interpolate(
        torch.from_numpy(image), (16, 16), mode="bilinear", antialias=True, align_corners=False
    ).numpy()
    got = view(0, image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, want, atol=1e-5)  # weights are float32 on both sides


def test_crop_reads_only_its_box():
    """Pixels outside the box do not leak in through the filter."""
    for kernel in (natural._triangle, natural._cubic):
        weights = natural._resize_matrix(kernel, jnp.array([5.0]), jnp.array([20.0]), 64, 8)
        assert (weights[0, :, :5] == 0).all() and (weights[0, :, 25:] == 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)  # float32


def test_brightness_and_saturation_factors_are_uniform():
    # Values low enough that no factor below 1.4 reaches the clip at 1.
    images = np.tile(RNG.uniform(0.2, 0.7, (1, 4, 4, 3)).astype(np.float32), (1000, 1, 1, 1))
    factor = (jitter(images, brightness=0.4) / images)[:, 0, 0, 0]
    assert 0.599 < factor.min() < 0.61 and 1.39 < factor.max() < 1.401
    assert abs(factor.mean() - 1) < 0.03  # 4 sigma of 0.23 / sqrt(1000)
    images[..., 0] = images[..., 1] + 0.1
    grey = np.asarray(natural.grey(jnp.asarray(images)))
    saturated = jitter(images, saturation=0.4)
    factor = ((saturated - grey) / (images - grey))[:, 0, 0, 0]
    assert 0.59 < factor.min() < 0.62 and 1.38 < factor.max() < 1.41


def test_contrast_moves_away_from_the_mean_grey():
    images = np.tile(RNG.uniform(0.4, 0.6, (1, 4, 4, 3)).astype(np.float32), (500, 1, 1, 1))
    mean = np.asarray(natural.grey(jnp.asarray(images))).mean((1, 2, 3), keepdims=True)
    factor = ((jitter(images, contrast=0.4) - mean) / (images - mean)).reshape(500, -1)
    np.testing.assert_allclose(factor, np.median(factor, 1, keepdims=True) + 0 * factor, rtol=0.01)
    assert 0.59 < factor.min() < 0.63 and 1.37 < factor.max() < 1.41


def test_hue_turns_by_the_stated_range_as_colorsys():
    pixels = RNG.uniform(size=(6, 5, 5, 3)).astype(np.float32)
    turn = np.array([0.0, 0.1, -0.1, 0.5, -0.5, 0.3], np.float32)
    got = natural.shift_hue(jnp.asarray(pixels), jnp.asarray(turn)[:, None, None])
    for n in range(6):
        for rgb, out in zip(pixels[n].reshape(-1, 3), got[n].reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
            want = colorsys.hsv_to_rgb((hue + turn[n]) % 1, saturation, value)
            np.testing.assert_allclose(out, want, atol=1e-5)  # float32 division by the chroma
    red = np.tile(np.float32([0.8, 0.2, 0.2]), (500, 1, 1, 1))
    out = jitter(red, hue=0.1).reshape(500, 3)
    hues = np.array([(colorsys.rgb_to_hsv(*o)[0] + 0.5) % 1 - 0.5 for o in out])
    assert -0.1001 < hues.min() < -0.095 and 0.095 < hues.max() < 0.1001


def test_probabilities_and_what_they_switch():
    images = RNG.uniform(size=(400, 8, 8, 3)).astype(np.float32)
    small = {"crop": 8}
    plain = view(0, images, **small)

    def changed(p, **settings):
        out = view(0, images, **small, **settings)
        rate = (np.abs(out - plain).max((1, 2, 3)) > 1e-4).mean()
        assert abs(rate - p) < 0.1  # 4 sigma of a coin thrown 400 times
        return out

    grey = changed(0.2, grey_probability=0.2)
    same = np.ptp(grey, axis=3).max((1, 2)) < 1e-6
    np.testing.assert_allclose(grey[same][..., 0], (plain[same] @ natural.GREY), atol=1e-5)
    solar = changed(0.3, solarize_probability=0.3)
    inverted = np.abs(solar - plain).max((1, 2, 3)) > 1e-4
    want = np.where(plain >= 0.5, 1 - plain, plain)
    np.testing.assert_allclose(solar[inverted], want[inverted], atol=1e-6)
    changed(0.8, jitter_probability=0.8, brightness=0.4)
    changed(0.5, blur_probability=0.5, blur_sigma=(1.0, 2.0))
    changed(0.0, brightness=0.4, hue=0.1)


def test_color_changes_need_rgb():
    images = np.zeros((2, 8, 8, 4), np.float32)
    with pytest.raises(UserError, match="4 bands"):
        view(0, images, crop=8, hue=0.1)
    assert view(0, images, crop=8, brightness=0.4, jitter_probability=1.0).shape == images.shape
