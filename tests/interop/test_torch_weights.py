# SPDX-License-Identifier: Apache-2.0
"""Published weights give the published outputs, and come back under their names."""

import json
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from astrojax.errors import UserError
from astrojax.interop import torch as torch_weights
from astrojax.nn.backbones import ResNet, ViT

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = json.loads((GOLDEN / "models.json").read_text())
ARCHS = {name: {"pita_z/PITALightning": "pita_z"}.get(name, name) for name in MODELS}


def reference_array(name, shape):
    """The rule by which the reference made its weights."""
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return np.exp(0.1 * x)
    if leaf == "running_mean":
        return 0.1 * x
    if leaf == "bias":
        return 0.05 * x
    if leaf == "weight" and len(shape) == 1:
        return 1 + 0.1 * x
    if leaf == "weight":
        return x * np.sqrt(2 / np.prod(shape[1:]))
    return 0.1 * x


def reference_weights(name):
    shapes = dict(MODELS[name]["state_dict"])
    return {n: np.asarray(reference_array(n, s), np.float32) for n, s in shapes.items()}


def reference_input(name):
    x = np.random.RandomState(zlib.crc32(b"input:" + name.encode())).standard_normal(
        MODELS[name]["input_shape"]
    )
    return jax.numpy.asarray(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x, "float32")


def outputs(name, module, x):
    if name == "lensiam/heads":
        return module(x, train=True)
    if name.startswith("pita_z"):
        return module(x)
    return {"features": module.features(x), "logits": module(x)}


@pytest.mark.parametrize("name", ARCHS)
def test_outputs_are_the_references_and_names_come_back(name):
    weights = reference_weights(name)
    module = torch_weights.load(weights, arch=ARCHS[name])
    found = jax.jit(lambda m, x: outputs(name, m, x))(module, reference_input(name))
    with np.load(GOLDEN / "models.npz") as golden:
        expected = {k.removeprefix(f"{name}/"): golden[k] for k in golden if k.startswith(name)}
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].shape == value.shape
        # float32 through up to 101 layers against float64; 1e-6 was measured
        assert np.linalg.norm(found[key] - value) < 2e-5 * np.linalg.norm(value), key

    again = torch_weights.state_dict(module, arch=ARCHS[name])
    assert set(again) == set(weights)
    assert all(np.array_equal(again[n], weights[n]) for n in weights)


@pytest.fixture(scope="module")
def resnet18():
    return reference_weights("torchvision/resnet18")


def load18(weights, **options):
    return torch_weights.load(weights, arch="torchvision/resnet18", **options)


def test_every_entry_is_used_once(resnet18):
    with pytest.raises(UserError, match="missing: bn1.weight"):
        load18({k: v for k, v in resnet18.items() if k != "bn1.weight"})
    with pytest.raises(UserError, match="left over: extra.weight"):
        load18({**resnet18, "extra.weight": np.zeros(3)})
    with pytest.raises(UserError, match=r"wrongly shaped: bn1.bias \(65,\) for \(64,\)"):
        load18({**resnet18, "bn1.bias": np.zeros(65)})
    with pytest.raises(UserError, match="torchvision/resnet18, "):
        torch_weights.load(resnet18, arch="torchvision/resnet19")
    with pytest.raises(UserError, match="missing: fc.weight"):
        load18({k: v for k, v in resnet18.items() if k != "fc.weight"})


def test_counters_and_the_wrapper_of_data_parallel_do_not_matter(resnet18):
    bare = {k: v for k, v in resnet18.items() if not k.endswith("num_batches_tracked")}
    wrapped = {f"module.{k}": v for k, v in bare.items()}
    again = torch_weights.state_dict(load18(wrapped), arch="torchvision/resnet18")
    assert all(np.array_equal(again[k], v) for k, v in resnet18.items())


def test_any_number_of_classes_or_none(resnet18):
    ten = {**resnet18, "fc.weight": np.ones((10, 512)), "fc.bias": np.ones(10)}
    assert load18(ten).head.kernel.shape == (512, 10)
    assert load18(resnet18, classifier=False).head is None


def test_another_number_of_bands_needs_a_choice(resnet18):
    old = resnet18["conv1.weight"].transpose(2, 3, 1, 0)
    with pytest.raises(UserError, match="'conv1.weight' has 3 bands and the network 4.*'mean'"):
        load18(resnet18, bands=4)

    def stem(choice):
        return np.asarray(load18(resnet18, bands=4, stem=choice).stem.conv.kernel[...])

    mean = old.mean(2, keepdims=True) * 3 / 4
    np.testing.assert_allclose(stem("mean"), np.repeat(mean, 4, 2), rtol=1e-6)  # float32
    np.testing.assert_allclose(stem("repeat"), old[:, :, [0, 1, 2, 0]] * 0.75, rtol=1e-6)
    # 147 * 64 draws whose spread is known to 1%
    assert abs(stem("fresh").std() * (4 * 49) ** 0.5 - 1) < 0.05
    four = {**resnet18, "conv1.weight": resnet18["conv1.weight"][:, [0, 1, 2, 0]]}
    np.testing.assert_array_equal(load18(four, bands=4).stem.conv.kernel[:, :, 3], old[:, :, 0])


TINY = {
    "bands": 5,
    "depths": (1, 1),
    "block": "basic",
    "stem": "cifar",
    "width": 4,
    "zero_init_residual": False,
    "dtype": "float32",
    "remat": False,
}


def test_save_writes_a_module_of_any_size(tmp_path):
    one = ResNet(**TINY, num_classes=None, rngs=nnx.Rngs(0))
    path = tmp_path / "backbone.safetensors"
    torch_weights.save(one, path, arch="torchvision/resnet18")
    weights = torch_weights.read(path)
    assert weights["layer2.0.downsample.0.weight"].shape == (8, 4, 1, 1)
    written = torch_weights.state_dict(one, arch="torchvision/resnet18")
    assert weights.keys() == written.keys()
    for name, value in written.items():
        np.testing.assert_array_equal(weights[name], value)
    with pytest.raises(UserError, match="no/such/folder"):
        torch_weights.save(one, "/no/such/folder/x.safetensors", arch="torchvision/resnet18")


def test_sine_cosine_positions_are_written_for_timm():
    vit = ViT(
        image_size=8,
        patch_size=4,
        bands=1,
        width=8,
        depth=1,
        heads=2,
        mlp_ratio=2.0,
        positions="sincos",
        class_token=False,
        pool="mean",
        activation="gelu",
        dropout=0.0,
        drop_path=0.0,
        num_classes=None,
        dtype="float32",
        remat=False,
        rngs=nnx.Rngs(0),
    )
    weights = torch_weights.state_dict(vit, arch="timm/vit_tiny_patch16_224")
    np.testing.assert_array_equal(weights["pos_embed"], vit.position_table())


def test_pitas_training_state_is_not_needed():
    weights = reference_weights("pita_z/PITALightning")
    weights["queue"], weights["queue_ptr"] = np.zeros((7, 64)), np.zeros(1, np.int64)
    weights["momentum_encoder.classifier.2.bias"] = weights["encoder.classifier.2.bias"]
    torch_weights.load(weights, arch="pita_z")


def backbone_weights(resnet18, prefix):
    return {prefix + k: v for k, v in resnet18.items() if not k.startswith("fc.")}


def linear(name, out, inputs, bias=True):
    shapes = {f"{name}.weight": (out, inputs), **({f"{name}.bias": (out,)} if bias else {})}
    return {k: reference_array(k, s) for k, s in shapes.items()}


def norm(name, width, affine=True):
    leaves = (("weight", "bias") if affine else ()) + ("running_mean", "running_var")
    return {f"{name}.{n}": reference_array(f"{name}.{n}", (width,)) for n in leaves}


def batch_norm(x, weights, name):
    x = (x - weights[f"{name}.running_mean"]) / np.sqrt(weights[f"{name}.running_var"] + 1e-5)
    if f"{name}.weight" in weights:
        x = x * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return x


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)


def test_simsiam_checkpoint_with_its_frozen_bias(resnet18):
    fc, p = "encoder.fc", "predictor"
    heads = {
        **linear(f"{fc}.0", 512, 512, bias=False),
        **norm(f"{fc}.1", 512),
        **linear(f"{fc}.3", 512, 512, bias=False),
        **norm(f"{fc}.4", 512),
        **linear(f"{fc}.6", 32, 512),
        **norm(f"{fc}.7", 32, affine=False),
        **linear(f"{p}.0", 16, 32, bias=False),
        **norm(f"{p}.1", 16),
        **linear(f"{p}.3", 32, 16),
    }
    weights = {f"module.{k}": v for k, v in backbone_weights(resnet18, "encoder.").items()}
    module = torch_weights.load(
        {**weights, **{f"module.{k}": v for k, v in heads.items()}}, arch="simsiam/resnet18"
    )
    x = np.random.default_rng(0).standard_normal((4, 512))
    z = x
    for i in (0, 3):
        z = np.maximum(batch_norm(dense(z, heads, f"{fc}.{i}"), heads, f"{fc}.{i + 1}"), 0)
    z = batch_norm(dense(z, heads, f"{fc}.6"), heads, f"{fc}.7")
    prediction = np.maximum(batch_norm(dense(z, heads, f"{p}.0"), heads, f"{p}.1"), 0)
    prediction = dense(prediction, heads, f"{p}.3")
    found = module.projector(jax.numpy.asarray(x, "float32"))
    np.testing.assert_allclose(found, z, rtol=1e-4, atol=1e-4)  # float32, three layers
    np.testing.assert_allclose(module.predictor(found), prediction, rtol=1e-4, atol=1e-4)


def test_lensiam_checkpoint(resnet18):
    heads = reference_weights("lensiam/heads")
    weights = {**backbone_weights(resnet18, "backbone."), **heads}
    module = torch_weights.load(weights, arch="lensiam/resnet18")
    again = torch_weights.state_dict(module, arch="lensiam/resnet18")
    assert set(again) == set(weights)
    assert all(np.array_equal(again[k], v) for k, v in weights.items())


def test_self_classifier_checkpoint(monkeypatch, resnet18):
    from astrojax.interop import architectures

    # ResNet-18 stands for the published ResNet-50 to keep the test small
    small = architectures._self_classifier("18")
    monkeypatch.setitem(architectures.ARCHITECTURES, "self_classifier/resnet50", small)
    fc = "backbone.fc"
    heads = {
        **linear(f"{fc}.0", 24, 512),
        **norm(f"{fc}.1", 24),
        **linear(f"{fc}.3", 24, 24),
        **norm(f"{fc}.4", 24),
        **linear(f"{fc}.6", 8, 24),
        **{f"cls_{i}": reference_array(f"cls_{i}", (5, 8)) for i in range(12)},
    }
    weights = {**backbone_weights(resnet18, "backbone."), **heads}
    wrapped = {f"module.{k}": v for k, v in weights.items()}
    module = torch_weights.load(wrapped, arch="self_classifier/resnet50")
    x = np.random.default_rng(0).standard_normal((4, 512))
    y = x
    for i in (0, 3):
        y = batch_norm(dense(y, heads, f"{fc}.{i}"), heads, f"{fc}.{i + 1}")
        y = np.where(y > 0, y, 0.01 * y)
    y = dense(y, heads, f"{fc}.6")
    found = module.mlp(jax.numpy.asarray(x, "float32"))
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4)  # float32, three layers
    np.testing.assert_allclose(module.classifiers[11][...], heads["cls_11"], rtol=1e-6)
    scores = jax.eval_shape(lambda m, x: m(x), module, jax.ShapeDtypeStruct((2, 32, 32, 3), "f4"))
    assert [s.shape for s in scores] == [(2, 5)] * 12
