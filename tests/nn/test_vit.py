# SPDX-License-Identifier: Apache-2.0
"""The vision transformer's halves, positions and pooling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax.nn.backbones import ViT
from astrojax.nn.backbones.vit import sincos_positions

GRID = 4


def make(*, class_token=False, pool="mean", positions="sincos", **changes):
    settings = {
        "image_size": 16,
        "patch_size": 4,
        "bands": 2,
        "width": 16,
        "depth": 2,
        "heads": 2,
        "mlp_ratio": 2.0,
        "activation": "relu",
        "dropout": 0.0,
        "drop_path": 0.0,
        "num_classes": None,
        "dtype": "float32",
        "remat": False,
        **changes,
    }
    return ViT(
        class_token=class_token, pool=pool, positions=positions, rngs=nnx.Rngs(0), **settings
    )


@pytest.fixture
def image():
    return jax.random.normal(jax.random.key(0), (3, 16, 16, 2))


@pytest.mark.parametrize("class_token", [False, True])
def test_features_are_the_two_halves(image, class_token):
    vit = make(class_token=class_token)
    tokens = vit.tokens(image)
    assert tokens.shape == (3, 16, 16)
    assert vit.features(image).shape == (3, 16 + class_token, 16)
    np.testing.assert_array_equal(vit.encode(tokens), vit.features(image))


@pytest.mark.parametrize("class_token", [False, True])
def test_a_subset_of_tokens_knows_nothing_of_the_others(image, class_token):
    vit = make(class_token=class_token)
    visible = jnp.array([[0, 5, 6], [1, 2, 15], [9, 3, 4]])

    def encode(image):
        chosen = jnp.take_along_axis(vit.tokens(image), visible[..., None], axis=1)
        return vit.encode(chosen)

    hidden = np.ones((3, GRID, GRID))
    for b, patches in enumerate(np.asarray(visible)):
        hidden[b, patches // GRID, patches % GRID] = 0
    noise = np.kron(hidden, np.ones((4, 4)))[..., None] * 100
    np.testing.assert_array_equal(encode(image), encode(image + noise))
    assert encode(image).shape == (3, 3 + class_token, 16)
    assert not np.allclose(vit.encode(vit.tokens(image))[:, :3], encode(image)[:, :3])


def test_encode_does_not_care_for_the_order_of_tokens(image):
    vit = make(positions="learned")
    tokens = vit.tokens(image)
    order = jax.random.permutation(jax.random.key(2), 16)
    # softmax and its sum run over the tokens in another order: float32 roundings
    np.testing.assert_allclose(
        vit.encode(tokens[:, order]), vit.encode(tokens)[:, order], rtol=1e-4, atol=1e-5
    )


def test_tokens_are_patches_row_by_row():
    vit = make()
    image = np.zeros((1, 16, 16, 2), np.float32)
    image[0, 4:8, 12:16] = 1  # row 1, column 3
    changed = np.abs(vit.tokens(jnp.asarray(image)) - vit.tokens(jnp.zeros_like(image))).max(-1)[0]
    assert np.flatnonzero(changed) == [GRID * 1 + 3]


def test_pooling(image):
    tokens = make(class_token=True).features(image)
    mean, first = make(class_token=True, pool="mean"), make(class_token=True, pool="class")
    np.testing.assert_allclose(mean(image), tokens[:, 1:].mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first(image), tokens[:, 0])


def test_dropout_needs_a_key(image):
    vit = make(dropout=0.3, depth=1)
    key = jax.random.key(0)
    assert not np.allclose(vit.features(image, key=key), vit.features(image))
    np.testing.assert_array_equal(vit.features(image), make(depth=1).features(image))


def test_attention_equals_loops(image):
    block = make().blocks[0]
    x = jax.random.normal(jax.random.key(3), (2, 5, 16))
    qkv = np.asarray(block.qkv(x), np.float64)
    out = np.zeros((2, 5, 16))
    for b in range(2):
        for head in range(2):
            at = slice(8 * head, 8 * head + 8)
            q, k, v = (qkv[b, :, 16 * i : 16 * i + 16][:, at] for i in range(3))
            for n in range(5):
                weight = np.exp(q[n] @ k.T / np.sqrt(8))
                out[b, n, at] = weight @ v / weight.sum()
    found = np.moveaxis(block.attention(x), 1, 2).reshape(out.shape)  # heads come first
    np.testing.assert_allclose(found, out, rtol=1e-4, atol=1e-6)  # float32


def test_sincos_positions_equal_loops():
    table = np.zeros((9, 8))
    for row in range(3):
        for column in range(3):
            for i in range(2):
                w = 10000.0 ** (-i / 2)
                table[3 * row + column, [i, 2 + i]] = np.sin(column * w), np.cos(column * w)
                table[3 * row + column, [4 + i, 6 + i]] = np.sin(row * w), np.cos(row * w)
    np.testing.assert_allclose(sincos_positions(3, 8), table, atol=1e-7)  # stored as float32


def test_sincos_positions_are_no_parameters():
    names = [str(p) for p, _ in nnx.to_flat_state(nnx.state(make()))]
    assert not any("positions" in n for n in names)
    learned = [str(p) for p, _ in nnx.to_flat_state(nnx.state(make(positions="learned")))]
    assert any("positions" in n for n in learned)
