# SPDX-License-Identifier: Apache-2.0
"""What the backbones share: stochastic layers with explicit keys, float32 norms, input checks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.errors import UserError
from astrojax.nn.backbones.convolution import convolve
from astrojax.nn.layers import Dtype


def conv(
    bands: int,
    features: int,
    *,
    size: int,
    stride: int = 1,
    padding: int = 0,
    bias: bool,
    init: Callable,
    dtype: Dtype,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution with PyTorch's symmetric padding (XLA's "SAME" shifts strided ones)."""
    return nnx.Conv(
        bands,
        features,
        (size, size),
        strides=stride,
        padding=((padding, padding), (padding, padding)),
        use_bias=bias,
        kernel_init=init,
        dtype=jnp.dtype(dtype),
        conv_general_dilated=convolve,
        rngs=rngs,
    )


def classifier(
    width: int, num_classes: int | None, *, init: Callable, dtype: Dtype, rngs: nnx.Rngs
) -> nnx.Linear | None:
    """The linear layer from features to logits, or None for a backbone without one."""
    if num_classes is None:
        return None
    return nnx.Linear(width, num_classes, kernel_init=init, dtype=jnp.dtype(dtype), rngs=rngs)


def layer_norm(features: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Layer norm over features in float32, epsilon 1e-6 as in ConvNeXt and timm's ViT.

    The variance is that of the centred values: the one-pass form loses it to cancellation where
    the mean is large, as it is for images with a sky level.
    """
    return nnx.LayerNorm(
        features, epsilon=1e-6, use_fast_variance=False, dtype=jnp.float32, rngs=rngs
    )


def drop_path(
    x: Float[Array, "b *shape"], rate: float, key: PRNGKeyArray | None
) -> Float[Array, "b *shape"]:
    """Zeroes a residual branch for whole examples (stochastic depth, Huang et al. 2016).

    Examples that keep the branch are rescaled by 1 / (1 - rate); no key, no drop.
    """
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def pointwise(layer: nnx.Linear, x: Float[Array, "*n d"]) -> Float[Array, "*n k"]:
    """A linear layer on the last axis, with the other axes flattened to one.

    The same numbers; but the gradient of the weights is then one plain matrix product, which
    XLA's CPU backend runs up to eight times faster than a contraction over several axes.
    """
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def keys(key: PRNGKeyArray | None, count: int) -> list[PRNGKeyArray | None]:
    """`count` keys out of one, or as many None."""
    return [None] * count if key is None else list(jax.random.split(key, count))


def apply(
    block: nnx.Module,
    x: Array,
    *,
    train: bool,
    key: PRNGKeyArray | None,
    remat: bool,
    **others: Array | None,
) -> Array:
    """Calls a block; with `remat` its activations are recomputed in the backward pass."""
    if not remat:
        return block(x, train=train, key=key, **others)

    def call(block: nnx.Module, x: Array, key: PRNGKeyArray | None) -> Array:
        return block(x, train=train, key=key, **others)

    return nnx.remat(call)(block, x, key)


def check_image(image: Array, *, bands: int, smallest: int) -> None:
    """Raises `UserError` where images do not have the backbone's bands, or are too small."""
    if image.ndim != 4 or image.shape[-1] != bands:
        raise UserError(
            f"the backbone takes images [b h w {bands}]; these have shape {tuple(image.shape)}: "
            "build it with as many bands as the images have, bands last"
        )
    if min(image.shape[1:3]) < smallest:
        raise UserError(
            f"images of {image.shape[1]} x {image.shape[2]} pixels vanish in this backbone, which "
            f"takes sides of {smallest} or more: enlarge the crop or choose a smaller stem"
        )
