# SPDX-License-Identifier: Apache-2.0
"""What the backbones share: stochastic layers with explicit keys, float32 norms, input checks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.errors import UserError
from astrojax.nn.backbones.convolution import convolve
from astrojax.nn.layers import Dtype

Activation = Literal["gelu", "gelu_tanh", "relu"]
"""Activations of transformers: "gelu" is exact, "gelu_tanh" its approximation by a tanh."""


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
    x: Float[Array, "b *shape"], rate: float | Float[Array, ""], key: PRNGKeyArray | None
) -> Float[Array, "b *shape"]:
    """Zeroes a residual branch for whole examples (stochastic depth, Huang et al. 2016).

    Examples that keep the branch are rescaled by 1 / (1 - rate); no key, no drop.
    """
    if key is None or (isinstance(rate, float) and rate == 0.0):
        return x
    keep = jax.random.bernoulli(key, 1 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return x * (keep / (1 - rate)).astype(x.dtype)


def activate(x: Float[Array, "*n d"], name: Activation) -> Float[Array, "*n d"]:
    """The activation of that name."""
    if name == "gelu":
        return gelu(x)
    return jax.nn.relu(x) if name == "relu" else jax.nn.gelu(x, approximate=True)


@jax.custom_jvp
def gelu(x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """The exact GELU, x / 2 (1 + erf(x / sqrt 2)), computed in float32.

    As PyTorch writes it; `jax.nn.gelu` takes erfc, which has two branches and a division more. The
    slope is all that the backward pass needs. A network's MLP took 0.81 of the time on a CPU.
    """
    return _gelu_and_slope(x)[0]


@gelu.defjvp
def _gelu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value, slope = _gelu_and_slope(primals[0])
    return value, tangents[0] * slope


def _gelu_and_slope(x: Array) -> tuple[Array, Array]:
    wide = x.astype(jnp.float32)
    below = 0.5 * (1 + jax.lax.erf(wide * np.sqrt(0.5, dtype=np.float32)))
    density = jnp.exp(-0.5 * wide**2) * np.float32(1 / np.sqrt(2 * np.pi))
    return (wide * below).astype(x.dtype), (below + wide * density).astype(x.dtype)


def pointwise(layer: nnx.Linear, x: Float[Array, "*n d"]) -> Float[Array, "*n k"]:
    """A linear layer on the last axis, the same numbers on all platforms.

    On CPUs the other axes are flattened to one: the gradient of the weights is then one plain
    matrix product, up to eight times faster than a contraction over several axes. On a TPU it
    would be a copy, where the axes do not fill whole tiles.
    """

    def flat(x: Array) -> Array:
        return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)

    return jax.lax.platform_dependent(x, cpu=flat, default=layer)


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


def scan(
    modules: Sequence[nnx.Module],
    x: Array,
    *,
    drop_path: Sequence[float],
    key: PRNGKeyArray | None,
    remat: bool,
    **others: Array | None,
) -> Array:
    """Calls equal blocks one after the other; the program holds them once, as the body of a loop.

    The modules keep their parameters each, and so their names. Compilation takes as long as that
    of one block; stacking the weights costs a copy of them.

    Args:
        modules: Blocks `block(x, drop_path=..., key=..., **others)` of equal structure.
        x: Input of the first, of the shape and type of all outputs.
        drop_path: Rate of stochastic depth of each.
        key: Key of the stochastic parts, or None.
        remat: Whether to recompute activations block by block in the backward pass.
        others: Passed to every block.
    """
    if not modules:
        return x
    graph = nnx.graphdef(modules[0])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(nnx.state, modules))
    rates = jnp.asarray(drop_path, jnp.float32) if any(drop_path) else None
    per_block = None if key is None else jax.random.split(key, len(modules))

    def body(x: Array, block: tuple) -> tuple[Array, None]:
        state, rate, key = block
        module: Any = nnx.merge(graph, state)
        return module(x, drop_path=0.0 if rate is None else rate, key=key, **others), None

    return jax.lax.scan(jax.checkpoint(body) if remat else body, x, (stacked, rates, per_block))[0]


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
