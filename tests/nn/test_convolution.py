# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.nn.backbones.convolution import convolve, im2col

NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("side", "channels", "size", "stride", "padding"),
    [(2, 8, 3, 1, 1), (4, 8, 3, 2, 1), (9, 3, 1, 1, 0), (9, 5, 1, 2, 0), (11, 2, 3, 2, 1)],
)
def test_product_is_the_convolution_with_its_gradients(side, channels, size, stride, padding):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, side, side, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size, size, channels, 6)), jnp.float32)
    strides, around = (stride, stride), ((padding, padding), (padding, padding))

    def direct(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, strides, around, dimension_numbers=NHWC)

    def product(x, kernel):
        return im2col(x, kernel, strides, around)

    def gradients(fn):
        return jax.grad(lambda x, k: jnp.sum(fn(x, k) ** 2), (0, 1))(x, kernel)

    # Another order of sums of at most 72 products in float32.
    np.testing.assert_allclose(product(x, kernel), direct(x, kernel), rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(gradients(product), gradients(direct), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_accelerators_get_a_convolution_and_cpus_a_product():
    x, kernel = jnp.zeros((1, 2, 2, 8)), jnp.zeros((3, 3, 8, 4))

    def fn(x, kernel):
        return convolve(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=NHWC)

    traced = jax.jit(fn).trace(x, kernel)
    assert "convolution" in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "convolution" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    large = jax.jit(fn).trace(jnp.zeros((1, 16, 16, 8)), kernel)
    assert "convolution" in large.lower(lowering_platforms=("cpu",)).as_text()
