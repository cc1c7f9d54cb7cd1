# SPDX-License-Identifier: Apache-2.0
"""Both forms of the depthwise convolution give the numbers of its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.nn.backbones.depthwise import banded, depthwise_conv, grouped, whole


def arrays(h, w, c=3, dtype=jnp.float32):
    x = jax.random.normal(jax.random.key(0), (2, h, w, c), dtype)
    return x, jax.random.normal(jax.random.key(1), (7, 7, 1, c), dtype)


def loops(x, kernel):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    _, h, w, _ = x.shape
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    out = np.zeros_like(x)
    for i in range(7):
        for j in range(7):
            out += padded[:, i : i + h, j : j + w] * kernel[i, j, 0]
    return out


@pytest.mark.parametrize("h, w", [(8, 8), (5, 40), (33, 33), (2, 1)])
@pytest.mark.parametrize("form", [banded, grouped, whole, depthwise_conv])
def test_equals_loops(form, h, w):
    x, kernel = arrays(h, w)
    # sums of 49 products of order one in float32
    np.testing.assert_allclose(jax.jit(form)(x, kernel), loops(x, kernel), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("h, w", [(8, 8), (6, 35)])
def test_gradients_are_equal(h, w):
    x, kernel = arrays(h, w)
    target = jax.random.normal(jax.random.key(2), x.shape)
    results = [
        jax.jit(jax.grad(lambda x, k, f=f: jnp.sum(jnp.tanh(f(x, k)) * target), argnums=(0, 1)))(
            x, kernel
        )
        for f in (banded, grouped, whole, depthwise_conv)
    ]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            # float32 sums of up to 420 terms, in another order
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * np.abs(b).max())


def test_bfloat16_stays_bfloat16():
    x, kernel = arrays(8, 8, dtype=jnp.bfloat16)
    outputs = [f(x, kernel) for f in (banded, grouped, whole)]
    assert [y.dtype for y in outputs] == [jnp.bfloat16] * 3
    first, *others = [np.asarray(y, np.float32) for y in outputs]
    for other in others:
        # results of order seven, rounded to 8 bits
        np.testing.assert_allclose(first, other, atol=0.15)


@pytest.mark.parametrize(
    "platform, side, product",
    [("cpu", 8, True), ("cuda", 8, False), ("tpu", 8, True), ("tpu", 40, False)],
)
def test_each_platform_gets_matrix_products_or_a_grouped_convolution(platform, side, product):
    traced = jax.jit(depthwise_conv).trace(*arrays(side, side))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.dot_general" in text) == product
    assert ("stablehlo.convolution" in text) != product
