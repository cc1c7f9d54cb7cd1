# SPDX-License-Identifier: Apache-2.0
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import random

from astrojax.config import call
from astrojax.errors import UserError
from astrojax.nn import layers


def test_momentum_copy_is_invisible_to_gradients_and_shares_no_buffer():
    online = layers.MLP((4, 8, 3), norm=True, rngs=nnx.Rngs(0))
    slow = layers.ema_copy(online)
    assert not nnx.to_flat_state(nnx.state(slow, nnx.Param))
    fast, kept = nnx.state(online, nnx.Param), nnx.state(slow, layers.NonTrainable)
    for (path, a), (other, b) in zip(nnx.to_flat_state(fast), nnx.to_flat_state(kept), strict=True):
        assert path == other
        np.testing.assert_array_equal(a[...], b[...])
        assert a[...].unsafe_buffer_pointer() != b[...].unsafe_buffer_pointer()


def test_momentum_update_follows_the_formula():
    online = layers.MLP((2, 2), rngs=nnx.Rngs(0))
    slow = layers.ema_copy(online)
    before = np.array(slow.linears[0].kernel[...])
    online.linears[0].kernel[...] = online.linears[0].kernel[...] + 1
    layers.ema_update(slow, online, 0.9)
    # One multiply-add in float32: a few units in the last place.
    np.testing.assert_allclose(
        slow.linears[0].kernel[...], 0.9 * before + 0.1 * (before + 1), rtol=1e-6
    )


def test_queue_is_first_in_first_out_and_wraps():
    queue = layers.Queue(size=5, width=1, rngs=nnx.Rngs(0))
    for start in (0, 3):
        queue.push(jnp.arange(start, start + 3, dtype=jnp.float32)[:, None])
    np.testing.assert_array_equal(queue.keys[...][:, 0], [5, 1, 2, 3, 4])
    with pytest.raises(UserError, match="queue of 5"):
        queue.push(jnp.zeros((6, 1)))


def test_mlp_layout_of_norms_and_biases():
    head = layers.MLP((4, 8, 8, 3), norm=True, last_norm="plain", bias=False, rngs=nnx.Rngs(0))
    names = {"/".join(map(str, p)) for p, _ in nnx.to_flat_state(nnx.state(head, nnx.Param))}
    assert not any(n.startswith("linears") and n.endswith("bias") for n in names)
    assert not any(n.startswith("norms/2") for n in names)
    out = head(jnp.linspace(0, 1, 24).reshape(6, 4), train=True)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)  # rounding of a mean of 6 in float32


def test_pixel_scaling():
    x = jnp.array([[[[1.0, -8.0]]]])
    scale = (2.0, 4.0)
    linear = layers.stretch(name="linear", scale=scale)(x)
    np.testing.assert_array_equal(linear[0, 0, 0], [0.5, -2.0])
    asinh = layers.stretch(name="asinh", scale=scale)(x)
    np.testing.assert_allclose(asinh[0, 0, 0], np.arcsinh([0.5, -2.0]), rtol=1e-6)
    with pytest.raises(UserError, match="'stretch.name' is 'log'; it has to be 'linear' or"):
        call(layers.stretch, {"name": "log", "scale": scale}, path="stretch")


def test_centre_crop_keeps_the_centre():
    image = jnp.zeros((1, 7, 7, 1)).at[0, 3, 3, 0].set(1)
    assert layers.centre_crop(image, 3)[0, 1, 1, 0] == 1
    with pytest.raises(UserError, match="smaller than the crop of 9"):
        layers.centre_crop(image, 9)


def test_imagenet_scaling_is_torchvisions():
    x = jnp.array([[[[255.0, 0.0, 127.5]]]])
    apply = layers.stretch(name="imagenet", scale=(255.0, 255.0, 255.0))
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.5 - 0.406) / 0.225]
    np.testing.assert_allclose(apply(x)[0, 0, 0], expected, rtol=1e-5)


def test_mlp_drops_before_its_last_layer_where_a_key_is_given():
    x = jnp.ones((4, 6))
    head = layers.MLP((6, 50, 3), dropout=0.5, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(head(x), head(x))
    key = random.key(0)
    expected = head.linears[1](layers.dropout(jnp.maximum(head.linears[0](x), 0), 0.5, key))
    np.testing.assert_allclose(head(x, key=key), expected, rtol=1e-5, atol=1e-6)  # float32
    nothing = layers.MLP((6,), dropout=0.5, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(nothing(x, key=key), x)


def test_first_weights_are_those_of_pytorch_where_asked_for():
    mlp = layers.MLP((400, 300), init="torch_uniform", rngs=nnx.Rngs(0))
    for values in (mlp.linears[0].kernel[...], mlp.linears[0].bias[...]):
        assert 0.97 * 0.05 < np.abs(values).max() <= 0.05  # 1 / sqrt(400)
    kernel = np.asarray(mlp.linears[0].kernel[...])
    np.testing.assert_allclose(kernel.std(), 0.05 / np.sqrt(3), rtol=0.02)
    usual = layers.MLP((400, 300), rngs=nnx.Rngs(0)).linears[0]
    np.testing.assert_allclose(np.std(usual.kernel[...]), 0.05, rtol=0.02)
    assert not np.any(usual.bias[...])


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4])
def test_batch_norm_keeps_its_digits_and_tracks_the_unbiased_variance(mean):
    rng = np.random.default_rng(0)
    x = (mean + rng.standard_normal((24, 2, 1, 3))).astype(np.float32)
    norm = layers.batch_norm(3, rngs=nnx.Rngs(0))
    flat = x.astype(np.float64).reshape(-1, 3)
    expected = (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    # Float32 values near 1e4 are 1e-3 apart: the mean is that coarse, not the variance.
    np.testing.assert_allclose(norm(jnp.asarray(x)), expected, atol=1e-4 if mean < 1e4 else 2e-3)
    np.testing.assert_allclose(norm.var[...], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-4)
    tracked = np.asarray(norm.var[...])
    norm(jnp.asarray(x), use_running_average=True)
    np.testing.assert_array_equal(norm.var[...], tracked)
