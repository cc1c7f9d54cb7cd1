# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolution in the form that is fast on the platform at hand, same numbers on all."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def depthwise_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "size size 1 c"]
) -> Float[Array, "b h w c"]:
    """Convolves each channel with its own odd square kernel, stride 1, zero padding.

    XLA's CPU backend runs grouped convolutions, and their gradients most of all, an order of
    magnitude slower than the matrix products of `banded`; GPUs and TPUs have kernels for `grouped`.
    """
    return jax.lax.platform_dependent(x, kernel, cpu=banded, default=grouped)


def grouped(
    x: Float[Array, "b h w c"], kernel: Float[Array, "size size 1 c"]
) -> Float[Array, "b h w c"]:
    """The convolution as one grouped convolution."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def banded(
    x: Float[Array, "b h w c"], kernel: Float[Array, "size size 1 c"]
) -> Float[Array, "b h w c"]:
    """The convolution as one matrix product per channel.

    An output row depends on `size` input rows, [size w] values, through a banded matrix
    [size w, w]. More products than the convolution has, by w / size, but dense ones.
    """
    size, w = kernel.shape[0], x.shape[2]
    pad = size // 2
    # band[j, u, v] = 1 where input column u meets output column v under kernel column j
    u, v = np.arange(w)[:, None], np.arange(w)[None, :]
    band = np.stack([u - v + pad == j for j in range(size)])
    matrix = jnp.einsum("ijc,juv->ciuv", kernel[:, :, 0], jnp.asarray(band, kernel.dtype))
    padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0), (0, 0)))
    rows = jnp.stack([padded[:, i : i + x.shape[1]] for i in range(size)])
    return jnp.einsum("ibhuc,ciuv->bhvc", rows, matrix)
