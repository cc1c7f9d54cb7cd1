# SPDX-License-Identifier: Apache-2.0
"""Random views of everyday photographs, with the distributions of torchvision's transforms.

Pure functions of (key, images), drawn per sample, run on the device. Departures: the four color
changes come in a fixed order (brightness, contrast, saturation, hue), while torchvision's
ColorJitter shuffles it per image. Values are in [0, 1].
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from astrojax.augment.galaxy import gaussian_blur
from astrojax.errors import UserError
from astrojax.nn.layers import unit_range

GREY = (0.2989, 0.587, 0.114)
"""Luma weights of red, green and blue (ITU-R 601-2), as torchvision has them."""

ATTEMPTS = 10
"""Draws of a crop's area and aspect before the central crop is taken."""

BLUR_RADIUS = 11
"""Pixels on either side of the blur kernel's centre: 23 in all."""


def natural_view(
    key: PRNGKeyArray,
    images: Shaped[Array, "b h w c"],
    *,
    crop: int,
    interpolation: Literal["bilinear", "bicubic"],
    scale: tuple[float, ...],
    aspect: tuple[float, ...],
    flip: bool,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    jitter_probability: float,
    grey_probability: float,
    blur_sigma: tuple[float, ...],
    blur_probability: float,
    solarize_probability: float,
) -> Float[Array, "b {crop} {crop} c"]:
    """Random resized crop, mirror, color jitter, greyscale, blur and solarisation, in this order.

    Args:
        key: Random key; each sample has its own draws.
        images: uint8 (divided by 255), or float in [0, 1].
        crop: Side of the view in pixels.
        interpolation: How the crop is resized, with antialiasing.
        scale: Lowest and highest fraction of the image's area, uniform.
        aspect: Lowest and highest width/height of the crop before resizing, log-uniform.
        flip: Mirror left and right with probability 1/2.
        brightness: Factor uniform in [max(0, 1 - b), 1 + b].
        contrast: The same, towards the image's mean grey.
        saturation: The same, towards the pixel's grey.
        hue: Turn of the hue uniform in [-h, h] of a full circle, h <= 0.5.
        jitter_probability: Probability of the four color changes, together.
        grey_probability: Probability of a grey image (all bands equal).
        blur_sigma: Lowest and highest standard deviation of the blur in pixels, uniform.
        blur_probability: Probability of the blur (kernel of 23 pixels).
        solarize_probability: Probability of inverting the values of 0.5 and more.

    Raises:
        UserError: A range is not (low, high), or color is to change but the bands are not three.
    """
    ranges = {"scale": scale, "aspect": aspect, "blur_sigma": blur_sigma}
    _check_view(images.shape[3], ranges, saturation or hue or grey_probability)
    batch = images.shape[0]
    keys = jax.random.split(key, 7)
    box: dict = {"scale": scale, "aspect": aspect, "flip": flip, "interpolation": interpolation}
    x = random_resized_crop(keys[0], unit_range(images), crop=crop, **box)
    jittered = color_jitter(
        keys[1], x, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
    )
    x = _sometimes(keys[2], jitter_probability, jittered, x)
    if grey_probability > 0:
        x = _sometimes(keys[3], grey_probability, jnp.broadcast_to(grey(x), x.shape), x)
    if blur_probability > 0:
        sigma = jax.random.uniform(keys[4], (batch,), minval=blur_sigma[0], maxval=blur_sigma[1])
        blurred = jax.random.bernoulli(keys[5], blur_probability, (batch,))
        x = gaussian_blur(x, jnp.where(blurred, sigma, 0.0), radius=min(BLUR_RADIUS, crop - 1))
    return _sometimes(keys[6], solarize_probability, jnp.where(x >= 0.5, 1.0 - x, x), x)


def crop_boxes(
    key: PRNGKeyArray,
    batch: int,
    size: tuple[int, int],
    *,
    scale: tuple[float, ...],
    aspect: tuple[float, ...],
) -> Float[Array, "b 4"]:
    """Boxes (top, left, height, width) in whole pixels, as torchvision's RandomResizedCrop.

    Area and aspect are drawn ten times at once and the first box that fits is taken; if none does,
    the largest central box whose aspect is within the limits.
    """
    height, width = size
    area_key, aspect_key, place_key = jax.random.split(key, 3)
    area = (
        height
        * width
        * jax.random.uniform(area_key, (batch, ATTEMPTS), minval=scale[0], maxval=scale[1])
    )
    low, high = jnp.log(aspect[0]), jnp.log(aspect[1])
    ratio = jnp.exp(jax.random.uniform(aspect_key, (batch, ATTEMPTS), minval=low, maxval=high))
    w, h = jnp.round(jnp.sqrt(area * ratio)), jnp.round(jnp.sqrt(area / ratio))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = jnp.argmax(fits, axis=1)[:, None]
    h, w = jnp.take_along_axis(h, first, 1)[:, 0], jnp.take_along_axis(w, first, 1)[:, 0]
    place = jax.random.uniform(place_key, (batch, 2))
    top, left = jnp.floor(place[:, 0] * (height - h + 1)), jnp.floor(place[:, 1] * (width - w + 1))
    box = jnp.stack([top, left, h, w], axis=1)
    central_w = min(width, round(height * aspect[1]))
    central_h = min(height, round(width / aspect[0]))
    central = ((height - central_h) // 2, (width - central_w) // 2, central_h, central_w)
    return jnp.where(jnp.any(fits, axis=1, keepdims=True), box, jnp.array(central, jnp.float32))


def random_resized_crop(
    key: PRNGKeyArray,
    images: Float[Array, "b h w c"],
    *,
    crop: int,
    interpolation: Literal["bilinear", "bicubic"],
    scale: tuple[float, ...],
    aspect: tuple[float, ...],
    flip: bool,
) -> Float[Array, "b {crop} {crop} c"]:
    """Crops a random box and resizes it to `crop` pixels with antialiasing.

    Two matrix products per image; the mirror is folded into the second. Where a cubic overshoots
    [0, 1] it is cut, as in images of 8 bits.
    """
    box_key, flip_key = jax.random.split(key)
    batch, height, width = images.shape[:3]
    box = crop_boxes(box_key, batch, (height, width), scale=scale, aspect=aspect)
    mirror = jax.random.bernoulli(flip_key, 0.5, (batch,)) & flip
    kernel = {"bilinear": _triangle, "bicubic": _cubic}[interpolation]
    rows = _resize_matrix(kernel, box[:, 0], box[:, 2], height, crop)
    columns = _resize_matrix(kernel, box[:, 1], box[:, 3], width, crop)
    columns = jnp.where(mirror[:, None, None], columns[:, ::-1], columns)
    images = jnp.einsum("bij,bjwc->biwc", rows, images, precision="highest")
    images = jnp.einsum("bij,bhjc->bhic", columns, images, precision="highest")
    return jnp.clip(images, 0.0, 1.0) if interpolation == "bicubic" else images


def _triangle(x):
    return jnp.maximum(0.0, 1.0 - jnp.abs(x))


def _cubic(x):
    """Keys' kernel with a = -1/2, as in Pillow."""
    x = jnp.abs(x)
    near, far = (1.5 * x - 2.5) * x**2 + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


def _resize_matrix(kernel, start, length, size, crop):
    """Weights [b crop size] of the filter that resizes [start, start + length)."""
    start, length = start[:, None, None], length[:, None, None]
    ratio = length / crop
    centre = start + (jnp.arange(crop)[:, None] + 0.5) * ratio - 0.5
    pixel = jnp.arange(size)
    weight = kernel((pixel - centre) / jnp.maximum(ratio, 1.0))
    weight = jnp.where((pixel >= start) & (pixel < start + length), weight, 0.0)
    return weight / jnp.sum(weight, axis=2, keepdims=True)


def grey(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """The luma of RGB images."""
    red, green, blue = jnp.split(images, 3, axis=3)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def color_jitter(
    key: PRNGKeyArray,
    images: Float[Array, "b h w c"],
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> Float[Array, "b h w c"]:
    """Changes brightness, contrast, saturation and hue, each clipped to [0, 1].

    With bands other than three, contrast is towards the mean over pixels and bands.
    """
    strengths = (brightness, contrast, saturation)
    low = jnp.array([max(0.0, 1.0 - s) for s in strengths] + [-hue])
    high = jnp.array([1.0 + s for s in strengths] + [hue])
    draws = jax.random.uniform(key, (images.shape[0], 4), minval=low, maxval=high)
    factor = [draws[:, i, None, None, None] for i in range(4)]
    x = jnp.clip(factor[0] * images, 0.0, 1.0)
    luma = grey(x) if images.shape[3] == 3 else x
    x = _blend(x, jnp.mean(luma, axis=(1, 2, 3), keepdims=True), factor[1])
    if saturation > 0:
        x = _blend(x, grey(x), factor[2])
    return shift_hue(x, factor[3][..., 0]) if hue > 0 else x


def shift_hue(
    images: Float[Array, "b h w 3"], turn: Float[Array, "b 1 1"]
) -> Float[Array, "b h w 3"]:
    """Turns the hue by a fraction of a full circle, at constant HSV saturation and value."""
    red, green, blue = images[..., 0], images[..., 1], images[..., 2]
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    safe = jnp.where(chroma > 0, chroma, 1.0)
    angle = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    angle = angle + 6.0 * turn

    def channel(start):
        k = jnp.mod(start + angle, 6.0)
        return value - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)

    return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)


def _blend(x, other, factor):
    return jnp.clip(factor * x + (1.0 - factor) * other, 0.0, 1.0)


def _sometimes(key, probability, changed, x):
    """`changed` with the given probability, else x, per sample."""
    chosen = jax.random.bernoulli(key, probability, x.shape[:1])
    return jnp.where(chosen[:, None, None, None], changed, x)


def _check_view(bands, ranges, changes_color):
    for name, limits in ranges.items():
        if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
            raise UserError(f"{name} is {limits}; it has to be (lowest, highest), both positive")
    if ranges["scale"][1] > 1:
        raise UserError(f"scale is {ranges['scale']}; it is a fraction of the area, at most 1")
    if changes_color and bands != 3:
        raise UserError(
            f"the images have {bands} bands, but saturation, hue and grey_probability need RGB: "
            "set the three to 0"
        )
