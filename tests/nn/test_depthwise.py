# SPDX-License-Identifier: Apache-2.0
"""Both forms of the depthwise convolution give the numbers of its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.nn.backbones.depthwise import banded, depthwise_conv, grouped


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
@pytest.mark.parametrize("form", [banded, grouped, depthwise_conv])
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
        for f in (banded, grouped, depthwise_conv)
    ]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            # float32 sums of up to 420 terms, in another order
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * np.abs(b).max())


def test_bfloat16_stays_bfloat16():
    x, kernel = arrays(8, 8, dtype=jnp.bfloat16)
    outputs = [np.asarray(f(x, kernel), np.float32) for f in (banded, grouped)]
    assert banded(x, kernel).dtype == grouped(x, kernel).dtype == jnp.bfloat16
    # results of order seven, rounded to 8 bits
    np.testing.assert_allclose(outputs[0], outputs[1], atol=0.15)


def test_the_cpu_gets_matrix_products_and_others_get_grouped_convolutions():
    x, kernel = arrays(8, 8)
    jaxpr = jax.jit(depthwise_conv).trace(x, kernel)
    cpu = jaxpr.lower(lowering_platforms=("cpu",)).as_text()
    gpu = jaxpr.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.convolution" not in cpu and "stablehlo.dot_general" in cpu
    assert "stablehlo.convolution" in gpu and "stablehlo.dot_general" not in gpu
