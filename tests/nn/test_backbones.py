# SPDX-License-Identifier: Apache-2.0
"""What every backbone promises, on tiny widths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special

from astrojax.errors import UserError
from astrojax.interop.architectures import find
from astrojax.nn import backbones
from astrojax.nn.backbones import blocks

TINY = {
    "resnet": {
        "name": "resnet",
        "depths": (1, 1),
        "block": "bottleneck",
        "stem": "imagenet",
        "width": 4,
        "zero_init_residual": False,
        "dtype": "float32",
        "remat": False,
    },
    "convnext": {
        "name": "convnext",
        "depths": (1, 1),
        "widths": (8, 12),
        "stem_size": 4,
        "stem_stride": 4,
        "drop_path": 0.5,
        "layer_scale": 1.0,
        "dtype": "float32",
        "remat": False,
    },
    "vgg": {
        "name": "vgg",
        "depths": (1, 2),
        "widths": (4, 8),
        "batch_norm": True,
        "grid": 2,
        "hidden": (16,),
        "dropout": 0.5,
        "dtype": "float32",
        "remat": False,
    },
    "vit": {
        "name": "vit",
        "patch_size": 2,
        "width": 12,
        "depth": 2,
        "heads": 3,
        "mlp_ratio": 2.0,
        "positions": "learned",
        "class_token": True,
        "pool": "class",
        "activation": "gelu",
        "dropout": 0.0,
        "drop_path": 0.5,
        "dtype": "float32",
        "remat": False,
    },
}
PATCHES = {32: 8, 64: 16, 110: 22, 224: 32}
STOCHASTIC = ("convnext", "vgg", "vit")
TRACKING = ("resnet", "vgg")


def build(name, *, bands=3, size=32, classes=5, **changes):
    section = {**TINY[name], **({"patch_size": PATCHES[size]} if name == "vit" else {}), **changes}
    module = nnx.eval_shape(
        lambda: backbones.build(
            section, bands=bands, image_size=size, num_classes=classes, rngs=nnx.Rngs(0)
        )
    )
    return filled(module)


def filled(module):
    """Random weights from NumPy: compiling JAX's initialisers takes longer than all else."""
    rng = np.random.default_rng(0)
    for path, variable in nnx.to_flat_state(nnx.state(module)):
        x = rng.standard_normal(variable.shape)
        if path[-1] == "kernel":
            x *= np.prod(variable.shape[:-1]) ** -0.5
        elif path[-1] in ("scale", "var", "layer_scale"):
            x = 1 + 0.1 * x
        variable.set_value(jnp.asarray(x, variable.dtype))
    return module


def images(bands=3, size=32, batch=2):
    x = np.random.default_rng(1).standard_normal((batch, size, size, bands))
    return jnp.asarray(x, jnp.float32)


@jax.jit
def forward(module, x):
    return module(x), module.features(x)


@jax.jit
def with_key(module, x, key):
    return module(x, key=key)


# Every size and number of bands with every backbone; the product would only repeat compilations.
@pytest.mark.parametrize("bands, size", [(1, 64), (3, 110), (4, 32), (12, 224)])
@pytest.mark.parametrize("name", TINY)
def test_any_bands_and_size(name, bands, size):
    module = build(name, bands=bands, size=size)
    logits, features = forward(module, images(bands, size))
    assert logits.shape == (2, 5) and features.shape[-1] == module.width
    assert features.ndim == (3 if name == "vit" else 2)
    assert logits.dtype == features.dtype == jnp.float32
    assert np.isfinite(logits).all() and np.std(features) > 0


@pytest.mark.parametrize("name", TINY)
def test_without_classes_gives_pooled_features(name):
    module = build(name, classes=None)
    pooled, features = forward(module, images())
    assert pooled.shape == (2, module.width)
    if name != "vit":
        np.testing.assert_array_equal(pooled, features)


@pytest.mark.parametrize("name", TINY)
def test_jit_equals_eager(name):
    module = build(name)
    x = images()
    # XLA may order sums differently in a fused program: a few float32 roundings
    np.testing.assert_allclose(forward(module, x)[0], module(x), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", TINY)
def test_bfloat16_computes_near_float32_with_float32_parameters(name):
    half, full = build(name, dtype="bfloat16"), build(name)
    assert {v.dtype for v in jax.tree.leaves(nnx.state(half))} == {jnp.dtype("float32")}
    low, high = (np.asarray(forward(m, images())[0]) for m in (half, full))
    error = np.linalg.norm(low - high) / np.linalg.norm(high)
    # bfloat16 rounds at 2^-9; some ten layers compound it. Zero would mean it was not used.
    assert 0 < error < 0.05


@pytest.mark.parametrize("name", TINY)
def test_a_key_and_nothing_else_turns_stochastic_parts_on(name):
    module = build(name)
    x = images(batch=8)  # enough draws that no two keys drop the same branches
    plain = forward(module, x)[0]
    one, same, two = (with_key(module, x, jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.allclose(one, two) == (name not in STOCHASTIC)
    assert np.allclose(one, plain) == (name not in STOCHASTIC)


def one_step(name, *, remat):
    """Gradients of a loss in train mode, and the batch statistics after it."""
    graph, params, rest = nnx.split(build(name, remat=remat), nnx.Param, ...)

    @jax.jit
    def step(params, rest, x, key):
        def loss(params):
            module = nnx.merge(graph, params, rest, copy=True)
            value = jnp.sum(jnp.sin(module(x, train=True, key=key)))
            return value, nnx.state(module, nnx.BatchStat)

        return jax.grad(loss, has_aux=True)(params)

    return step(params, rest, 3 + images(batch=4), jax.random.key(0))


@pytest.mark.parametrize("name", TINY)
def test_a_training_step_and_its_rematerialised_twin(name):
    gradients, statistics = one_step(name, remat=False)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), path
        # a bias before batch norm has no effect, so rounding is all its gradient holds
        if not (name == "vgg" and "convs" in str(path) and "bias" in str(path)):
            assert np.abs(gradient).max() > 1e-7, path

    before = jax.tree.leaves(nnx.state(build(name), nnx.BatchStat))
    assert bool(before) == (name in TRACKING)
    for a, b in zip(before, jax.tree.leaves(statistics), strict=True):
        assert (a != b).any()

    twin = jax.tree.leaves(one_step(name, remat=True))
    for kept, recomputed in zip(jax.tree.leaves((gradients, statistics)), twin, strict=True):
        # same operations, fused differently: float32 roundings, amplified by the norms' backward
        np.testing.assert_allclose(kept, recomputed, atol=1e-4 * (np.abs(kept).max() + 0.1))


@pytest.mark.parametrize("name", TRACKING)
def test_evaluation_changes_nothing(name):
    module = build(name)
    before = jax.tree.map(np.array, nnx.state(module))
    module(images(), key=jax.random.key(0))
    assert jax.tree.all(jax.tree.map(np.array_equal, before, nnx.state(module)))


def test_stochastic_depth_drops_whole_examples_and_keeps_the_mean():
    from astrojax.nn.backbones.blocks import drop_path
    from astrojax.nn.layers import dropout

    x = jnp.ones((4000, 2, 3))
    dropped = np.asarray(drop_path(x, 0.25, jax.random.key(0)))
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert (dropped == dropped[:, :1, :1]).all()
    each = np.asarray(dropout(x, 0.25, jax.random.key(0)))
    assert not (each == each[:, :1, :1]).all()
    # 4000 draws of spread 0.58 have a mean within 4 sigma = 0.037
    assert abs(dropped.mean() - 1) < 0.037 and abs(each.mean() - 1) < 0.037


def test_zero_init_residual_starts_blocks_as_identities():
    section = {**TINY["resnet"], "depths": (1,), "zero_init_residual": True}
    module = backbones.build(section, bands=3, image_size=8, num_classes=None, rngs=nnx.Rngs(0))
    block = module.stages[0][0]
    x = jax.nn.relu(images(bands=4, size=8))
    np.testing.assert_allclose(
        block(x, train=False), jax.nn.relu(block.shortcut(x, train=False)), atol=1e-6
    )


def test_cifar_stem_keeps_the_resolution():
    module = build("resnet", stem="cifar", depths=(1,), block="basic")
    maps = jax.eval_shape(lambda m, x: m.stem(x, train=False), module, images())
    assert maps.shape == (2, 32, 32, 4)


# As published by torchvision, timm and, for the small ConvNeXts, the ConvNeXt V2 paper.
PUBLISHED = {
    "torchvision/resnet18": 11689512,
    "torchvision/resnet34": 21797672,
    "torchvision/resnet50": 25557032,
    "torchvision/resnet101": 44549160,
    "torchvision/vgg16": 138357544,
    "torchvision/vgg16_bn": 138365992,
    "torchvision/convnext_tiny": 28589128,
    "torchvision/convnext_base": 88591464,
    "timm/vit_tiny_patch16_224": 5717416,
    "timm/vit_small_patch16_224": 22050664,
    "timm/vit_base_patch16_224": 86567656,
}


def count(make):
    state = nnx.state(nnx.eval_shape(make), nnx.Param)
    return sum(int(np.prod(v.shape)) for v in jax.tree.leaves(state))


@pytest.mark.parametrize("arch", PUBLISHED)
def test_parameter_counts_are_the_published_ones(arch):
    assert count(lambda: find(arch).build({}, 3, True, nnx.Rngs(0))) == PUBLISHED[arch]


@pytest.mark.parametrize(
    "size, millions", [("atto", 3.7), ("femto", 5.2), ("pico", 9.0), ("nano", 15.6)]
)
def test_small_convnexts_have_the_published_millions(size, millions):
    def make():
        sizes = backbones.convnext.SIZES[size]
        section = {**TINY["convnext"], **sizes}
        return backbones.build(section, bands=3, image_size=64, num_classes=1000, rngs=nnx.Rngs(0))

    assert round(count(make) / 1e6, 1) == millions


def test_vgg16_without_its_classifier_is_small():
    section = {**TINY["vgg"], **backbones.vgg.SIZES["16"], "batch_norm": False}
    make = lambda: backbones.build(  # noqa: E731
        section, bands=3, image_size=32, num_classes=None, rngs=nnx.Rngs(0)
    )
    assert count(make) == 14714688


@pytest.mark.parametrize(
    "name, changes, words",
    [
        ("resnet", {"block": "big"}, "'big'"),
        ("resnet", {"stem": "big"}, "'big'"),
        ("resnet", {"deptsh": (1,)}, "backbone.deptsh"),
        ("convnext", {"widths": (8,)}, "(8,)"),
        ("vit", {"patch_size": 7}, "7 does not divide the image side 32"),
        ("vit", {"heads": 5}, "heads (5)"),
        ("vit", {"positions": "none"}, "'none'"),
        ("vit", {"class_token": False}, "pool 'mean'"),
    ],
)
def test_settings_that_do_not_fit_are_named(name, changes, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(").replace(")", r"\)")):
        build(name, **changes)


def test_an_unknown_backbone_is_named():
    with pytest.raises(UserError, match="'resent'; backbones are: convnext, resnet, vgg, vit"):
        backbones.build(
            {"name": "resent"}, bands=1, image_size=8, num_classes=None, rngs=nnx.Rngs(0)
        )


@pytest.mark.parametrize("name", TINY)
def test_images_with_other_bands_are_refused(name):
    with pytest.raises(UserError, match="4"):
        build(name, bands=4)(images(bands=3))


@pytest.mark.parametrize("name", ["convnext", "vgg"])
def test_images_that_would_vanish_are_refused(name):
    with pytest.raises(UserError, match="3 x 3"):
        build(name)(images(size=3))


def test_vit_refuses_images_of_another_side():
    with pytest.raises(UserError, match="side 32.*64 x 64"):
        build("vit")(images(size=64))


@pytest.mark.parametrize("dtype, digits", [("float32", 24), ("bfloat16", 8)])
def test_gelu_and_its_slope_are_exact_to_rounding(dtype, digits):
    x = jnp.linspace(-8.0, 8.0, 4001).astype(dtype)
    slope = jax.vmap(jax.grad(blocks.gelu))(x)
    assert blocks.gelu(x).dtype == slope.dtype == x.dtype
    wide = np.asarray(x, np.float64)
    below = special.ndtr(wide)
    value = wide * below
    # within two units in the last place of the larger of the result and 1
    np.testing.assert_allclose(
        np.asarray(blocks.gelu(x), np.float64), value, rtol=2.0 ** (1 - digits), atol=1e-6
    )
    np.testing.assert_allclose(
        np.asarray(slope, np.float64),
        below + wide * np.exp(-0.5 * wide**2) / np.sqrt(2 * np.pi),
        rtol=2.0 ** (1 - digits),
        atol=1e-6,
    )
