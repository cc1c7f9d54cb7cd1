# SPDX-License-Identifier: Apache-2.0
"""Ordinary convolutions in the form that is fast on the platform at hand, same numbers on all."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def convolve(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "size size c d"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **options: Any,
) -> Float[Array, "b i j d"]:
    """A drop-in for `jax.lax.conv_general_dilated`, for square kernels without dilation.

    XLA's CPU backend is slow where the convolution is nearly a matrix product: on few pixels (the
    last 3 x 3 layers of VGG16), for 1 x 1 kernels, and for few input values per output (a first
    layer on three bands); elsewhere its own form is faster. `benchmarks/backbones.py vgg16
    resnet50` on 2 CPU cores: forward+backward 127 and 63 images/s with products, 23 and 20
    before them.
    GPUs and TPUs always take the convolution.
    """

    def direct(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

    size, channels = kernel.shape[0], kernel.shape[2]
    out = jax.eval_shape(direct, x, kernel).shape
    if not (size == 1 or out[1] * out[2] <= 16 or size**2 * channels <= 64):
        return direct(x, kernel)

    def product(x: Array, kernel: Array) -> Array:
        return im2col(x, kernel, strides, padding)

    return jax.lax.platform_dependent(x, kernel, cpu=product, default=direct)


def im2col(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "size size c d"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "b i j d"]:
    """The convolution as one matrix product over the values under the kernel at each pixel."""
    size, (down, right) = kernel.shape[0], strides
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = (x.shape[1] - size) // down + 1, (x.shape[2] - size) // right + 1
    under = [
        x[:, i : i + down * (rows - 1) + 1 : down, j : j + right * (columns - 1) + 1 : right]
        for i in range(size)
        for j in range(size)
    ]
    values = jnp.concatenate(under, axis=-1).reshape(-1, size * size * x.shape[3])
    product = values @ kernel.reshape(values.shape[1], -1)
    return product.reshape(len(x), rows, columns, -1)
