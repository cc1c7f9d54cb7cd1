# SPDX-License-Identifier: Apache-2.0
import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax import methods as methods
from astrojax.augment.block_masks import BlockMasks
from astrojax.config import plain
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.nn.layers import NonTrainable

INFO = DataInfo(bands=("g", "r"), image_size=28, noise=(0.1, 0.1))
GRID = 6


@pytest.fixture(scope="module")
def section(experiment):
    """The smoke variant on two bands; `a__b=x` sets key b of section a."""

    def make(**changes):
        found = copy.deepcopy(experiment("ijepa", "smoke")["method"])
        found["stretch"]["scale"] = (0.3, 0.3)
        for path, value in changes.items():
            *parents, name = path.split("__")
            part = found
            for parent in parents:
                part = part[parent]
            part[name] = value
        return found

    return make


@pytest.fixture(scope="module")
def build(section):
    return lambda **changes: methods.build(section(**changes), info=INFO, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def model(build):
    """With larger weights than initial ones, which hardly let one token matter to another."""
    model = build()
    for part in (model.encoder.blocks, model.predictor):
        params = nnx.state(part, nnx.Param)
        nnx.update(part, jax.tree.map(lambda x: 10 * x if x.ndim > 1 else x, params))
    return model


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28] - 13.5
    blob = np.exp(-np.hypot(x, y) / 4)[..., None]
    return jnp.asarray(
        blob * rng.uniform(1, 9, (4, 1, 1, 2)) + rng.normal(0, 0.1, (4, 28, 28, 2)), jnp.float32
    )


@pytest.fixture(scope="module")
def compare(model):
    return jax.jit(lambda image, masks: model.compare(image, masks, key=None))


@pytest.fixture(scope="module")
def score(model):
    return jax.jit(lambda image: model.predict(image)["anomaly_score"])


def masks_of(batch):
    """Two blocks of up to three patches, one padded; seven visible patches, two more padded."""
    context = jnp.tile(jnp.array([0, 1, 2, 6, 7, 12, 13, 35, 28]), (batch, 1))
    targets = jnp.tile(jnp.array([[20, 21, 22], [28, 29, 28]]), (batch, 1, 1))
    return BlockMasks(
        context,
        jnp.tile(jnp.arange(9) < 7, (batch, 1)),
        targets,
        jnp.tile(jnp.array([[True] * 3, [True, True, False]]), (batch, 1, 1)),
    )


def patch_changed(image, patch):
    """The image with one patch of 4 pixels replaced."""
    row, column = divmod(patch, GRID)
    return image.at[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].add(3.0)


@pytest.mark.parametrize("variant, count", [("paper_small", 5_562_240), ("paper", 25_290_240)])
def test_published_parameter_counts(experiment, variant, count):
    own = experiment("ijepa", variant)["method"]
    info = DataInfo(bands=("g", "r", "z"), image_size=256)
    model = nnx.eval_shape(lambda: methods.build(own, info=info, rngs=nnx.Rngs(0)))
    sizes = jax.tree.leaves(
        jax.tree.map(lambda x: int(np.prod(x.shape)), nnx.state(model, nnx.Param))
    )
    assert sum(sizes) == count


def test_gathered_tokens_equal_masked_attention(compare, images):
    image, masks = images[:, 2:26, 2:26], masks_of(4)
    seen = jnp.zeros((4, GRID**2), bool).at[:, masks.context[0, :7]].set(True)
    everything = jnp.tile(jnp.arange(GRID**2), (4, 1))
    gathered = compare(image, masks)
    masked = compare(image, masks._replace(context=everything, context_valid=seen))
    unmasked = compare(image, masks._replace(context=everything, context_valid=seen | True))
    valid = np.asarray(masks.targets_valid)
    # float32 sums of up to 36 tokens in another order.
    close = dict(rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(gathered.predicted[valid], masked.predicted[valid], **close)
    np.testing.assert_allclose(gathered.embedding, masked.embedding, **close)
    assert np.abs(gathered.predicted - unmasked.predicted)[valid].max() > 0.1


def test_the_prediction_sees_visible_patches_alone(compare, images):
    image, masks = images[:, 2:26, 2:26], masks_of(4)
    reference = compare(image, masks)
    for hidden in (20, 28, 35, 17):  # of both blocks, of the padding, of neither
        found = compare(patch_changed(image, hidden), masks)
        np.testing.assert_array_equal(found.predicted, reference.predicted)
        assert not np.allclose(found.target, reference.target)
    found = compare(patch_changed(image, 7), masks)
    assert np.abs(found.predicted - reference.predicted).max() > 0.1


def test_blocks_are_predicted_apart(compare, images):
    image, masks = images[:, 2:26, 2:26], masks_of(4)
    other = masks._replace(targets=masks.targets.at[:, 1].set(jnp.array([30, 31, 31])))
    reference, found = compare(image, masks), compare(image, other)
    np.testing.assert_array_equal(found.predicted[:, 0], reference.predicted[:, 0])
    assert np.abs(found.predicted[:, 1] - reference.predicted[:, 1]).max() > 0.1


def test_targets_are_normalised_tokens_of_the_target_encoder(model, compare, images):
    image, masks = images[:, 2:26, 2:26], masks_of(4)
    target = np.asarray(compare(image, masks).target)
    tokens = np.asarray(model.target_encoder.features(image))[:, [20, 21, 22]]
    mean, variance = tokens.mean(-1, keepdims=True), tokens.var(-1, keepdims=True)
    np.testing.assert_allclose(
        target[:, 0], (tokens - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5
    )


def test_target_encoder_follows_the_schedule(build):
    model = build(momentum_start=0.9, momentum_end=1.0)
    model.encoder.norm.bias[...] += 1.0
    before = np.asarray(model.target_encoder.norm.bias[...])
    model.after_update(jnp.float32(0.5))
    after = np.asarray(model.target_encoder.norm.bias[...])
    np.testing.assert_allclose(after, 0.95 * before + 0.05 * (before + 1), rtol=1e-5)
    model.after_update(jnp.float32(1.0))
    np.testing.assert_array_equal(model.target_encoder.norm.bias[...], after)


def test_shared_patches_are_those_of_the_encoder(build):
    model = build(share_patches=True)
    model.encoder.patch.kernel[...] *= 2.0
    model.after_update(jnp.float32(0.0))
    assert isinstance(model.target_encoder.patch.kernel, NonTrainable)
    np.testing.assert_array_equal(
        model.target_encoder.patch.kernel[...], model.encoder.patch.kernel[...]
    )


def test_sigreg_weighs_in(build, images):
    key, parts = jax.random.key(3), {}
    for name, changes in {
        "none": {"sigreg_weight": 0.0},
        "scaled": {"sigreg_weight": 0.6, "sigreg_n_scaled": True},
        "plain": {"sigreg_weight": 0.6, "sigreg_n_scaled": False},
    }.items():
        model = build(**changes)
        parts[name] = jax.jit(lambda m=model: m.loss({"image": images}, key))()
    loss, logs = parts["none"]
    assert float(loss) == float(logs["prediction"]) and "sigreg" not in logs
    for name in ("scaled", "plain"):
        mixed, more = parts[name]
        assert float(more["prediction"]) == pytest.approx(float(loss), rel=1e-5)
        expected = 0.4 * float(loss) + 0.6 * float(more["sigreg"])
        assert float(mixed) == pytest.approx(expected, rel=1e-5)
    ratio = float(parts["scaled"][1]["sigreg"]) / float(parts["plain"][1]["sigreg"])
    assert ratio == pytest.approx(4.0, rel=1e-4)  # the batch


def test_anomaly_score_by_hand(model, score, images):
    predict = jax.jit(model.predict_patches)
    naive = np.zeros(4)
    for key in jax.random.split(jax.random.key(0), 2):
        found = jax.tree.map(np.asarray, predict(images, key))
        for i in range(4):
            valid = found.masks.targets_valid[i]
            p, t = found.predicted[i][valid], found.target[i][valid]
            error = ((p - t) ** 2).mean(-1)
            likeness = (p * t).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(t, axis=-1)
            naive[i] += (error.mean() + 0.5 * error.max() + 0.1 * (1 - likeness.mean())) / 2
    np.testing.assert_allclose(score(images), naive, rtol=1e-3)  # sums in another order


def test_anomaly_score_does_not_depend_on_the_batch(score, images):
    turned = jnp.roll(images, 1, axis=0)
    np.testing.assert_allclose(score(turned), jnp.roll(score(images), 1), rtol=1e-4)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"backbone__class_token": True}, "class_token False"),
        ({"backbone__patch_size": 5}, "patch_size 5 does not divide"),
        ({"predictor__projections": False}, "method.predictor.width"),
        ({"predictor__heads": 5}, "method.predictor"),
        ({"error": "l1"}, "method.error"),
        ({"sigreg_weight": 1.5}, "method.sigreg_weight"),
        ({"masks__target_scale": (0.9, 0.9)}, "leave no context"),
        ({"view__crop": 64}, "smaller than config key 'method.view.crop'"),
    ],
)
def test_mistakes_are_named(section, changes, message):
    with pytest.raises(UserError, match=message):
        methods.build(plain(section(**changes)), info=INFO, rngs=nnx.Rngs(0))
