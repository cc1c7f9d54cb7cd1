# SPDX-License-Identifier: Apache-2.0
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax import losses
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.methods import build
from astrojax.methods.self_classifier import NeighbourQueue, fingerprint, orthogonal_rows
from astrojax.nn import layers

STILL = {
    "name": "galaxy",
    "crop": 8,
    "rotate": False,
    "flip": False,
    "zoom": (1.0, 1.0),
    "shift": 0.0,
    "noise": 0.0,
    "blur": None,
}
MOVING = {**STILL, "rotate": True, "flip": True, "shift": 1.0}
FIRST = {"name": "2021", "temperature": 0.3, "normalize_rows": True}
SECOND = {
    "name": "2022",
    "row_temperature": 0.1,
    "column_temperature": 0.05,
    "eps": 1e-12,
    "second_view": MOVING,
    "local_view": {**MOVING, "crop": 6},
    "local_views": 2,
    "queue_size": 16,
}
SECTION = {
    "name": "self_classifier",
    "version": FIRST,
    "backbone": {
        "name": "resnet",
        "depths": (1,),
        "block": "basic",
        "stem": "cifar",
        "width": 4,
        "zero_init_residual": False,
        "dtype": "float32",
        "remat": False,
    },
    "mlp": (8, 6),
    "mlp_norm": True,
    "classes": (5, 5, 3),
    "classifier": "fixed",
    "view": MOVING,
    "offset": (0.0, 0.5),
    "stretch": {"name": "linear", "scale": (1.0, 0.5)},
}
INFO = DataInfo(bands=("g", "r"), image_size=8)


def make(**changes):
    return build({**SECTION, **changes}, info=INFO, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(0), (8, 8, 8, 2))


def naive_2021(logits_1, logits_2, temperature, normalize_rows):
    """Algorithm 1 in loops over samples and classes."""
    n, k = logits_1.shape
    total = 0.0
    for s, other in ((logits_1, logits_2), (logits_2, logits_1)):
        e, f = np.exp(s / temperature), np.exp(other / temperature)
        for i in range(n):
            q = np.array([f[i, c] / sum(f[j, c] for j in range(n)) for c in range(k)])
            if normalize_rows:
                q = q / q.sum()
            total -= 0.5 / n * sum(q[c] * np.log(e[i, c] / e[i].sum()) for c in range(k))
    return total


@pytest.mark.parametrize("normalize_rows", [True, False])
def test_loss_is_the_mean_over_heads_of_algorithm_1(images, normalize_rows):
    # Two still views are the same image, which passes through the network twice all the same.
    version = {**FIRST, "normalize_rows": normalize_rows}
    method = make(version=version, view=STILL)
    x = (images - jnp.array([0.0, 0.5])) / jnp.array([1.0, 0.5])
    features = method.mlp(method.backbone(x, train=True), train=True)
    z = np.asarray(features, np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    logits = z @ np.asarray(method.directions[...], np.float64).T
    heads = np.split(logits, (5, 10), axis=1)
    expected = np.mean([naive_2021(s, s, 0.3, normalize_rows) for s in heads])
    loss, logs = make(version=version, view=STILL).loss({"image": images}, jax.random.key(1))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)  # float32 network and softmaxes
    assert logs["agreement"] == 1
    assert logs["classes_used"] == len(np.unique(heads[0].argmax(1)))


def test_batch_statistics_are_those_of_one_view(images):
    method = make(view=STILL)
    method.loss({"image": images}, jax.random.key(0))
    twice = make(view=STILL)
    scaled = (images - jnp.array([0.0, 0.5])) / jnp.array([1.0, 0.5])
    for _ in range(2):
        twice.backbone(scaled, train=True)
    found = nnx.to_flat_state(nnx.state(method.backbone, nnx.BatchStat))
    expected = nnx.to_flat_state(nnx.state(twice.backbone, nnx.BatchStat))
    for (_, a), (_, b) in zip(found, expected, strict=True):
        np.testing.assert_allclose(a[...], b[...], rtol=1e-5, atol=1e-7)  # order of sums


def test_rows_are_orthonormal_up_to_the_width():
    few = orthogonal_rows(jax.random.key(0), 5, 8)
    np.testing.assert_allclose(few @ few.T, np.eye(5), atol=1e-6)  # rounding of float32 QR
    many = orthogonal_rows(jax.random.key(0), 40, 8)
    assert many.shape == (40, 8)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, rtol=1e-6)


def test_fixed_classes_are_state_that_is_not_trained():
    method = make()
    assert isinstance(method.directions, layers.NonTrainable)
    trained = {path[0] for path, _ in nnx.to_flat_state(nnx.state(method, nnx.Param))}
    assert trained == {"backbone", "mlp"}
    other = build(SECTION, info=INFO, rngs=nnx.Rngs(1))
    assert not np.allclose(method.directions[...], other.directions[...])
    np.testing.assert_array_equal(method.directions[...], make().directions[...])


def test_learned_classes_count_by_their_direction_alone(images):
    method, longer = make(classifier="learned"), make(classifier="learned")
    longer.directions[...] = 7 * longer.directions[...]
    a = method.loss({"image": images}, jax.random.key(3))[0]
    b = longer.loss({"image": images}, jax.random.key(3))[0]
    np.testing.assert_allclose(a, b, rtol=1e-5)  # rounding of the normalisation


def test_weight_norm_trains_the_lengths_of_classes(images):
    plain = make(classifier="learned", version=SECOND)
    method = make(classifier="weight_norm", version=SECOND)
    z = jax.random.normal(jax.random.key(0), (4, 6))
    np.testing.assert_allclose(method._logits(z), plain._logits(z), rtol=1e-6)
    method.lengths[...] = 2.0 * method.lengths[...]
    np.testing.assert_allclose(method._logits(z), 2 * plain._logits(z), rtol=1e-6)
    grads = nnx.jit(nnx.grad(lambda m: m.loss({"image": images}, jax.random.key(3))[0]))(method)
    assert float(jnp.abs(grads.lengths[...]).min()) > 0
    kernel = np.concatenate([np.ravel(x.kernel[...]) for x in method.mlp.linears])
    assert kernel.std() == pytest.approx(0.02, rel=0.3)  # of 80 numbers


def test_predictions_are_of_the_first_head(images):
    method = make(classes=(4, 6))
    found = method.predict(images)
    z = losses.l2_normalize(method.mlp(method.embed(images)))
    expected = jax.nn.softmax(z @ method.directions[...][:4].T / 0.3)
    np.testing.assert_allclose(found["class_probability"], expected, rtol=1e-5)
    np.testing.assert_array_equal(found["cluster"], expected.argmax(1))


def test_pixels_of_eight_bits_are_fractions_of_255():
    method = make()
    raw = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 2), np.uint8)
    whole = method.embed(jnp.asarray(raw))
    fraction = method.embed(jnp.asarray(raw / 255, jnp.float32))
    np.testing.assert_allclose(whole, fraction, rtol=1e-5)  # one rounding of the quotient


def test_a_batch_smaller_than_the_classes_is_warned_of_once(caplog):
    method = make(classes=(11,))
    with caplog.at_level(logging.WARNING):
        for key in range(2):
            method.loss({"image": jnp.ones((7, 8, 8, 2))}, jax.random.key(key))
    said = [r.getMessage() for r in caplog.records if "smaller than" in r.getMessage()]
    assert len(said) == 1 and "7 images" in said[0] and "11 classes" in said[0]


def test_second_version_fills_its_queue_and_then_uses_neighbours(images):
    method = make(version=SECOND, classifier="learned", classes=(3, 4))

    @nnx.jit
    def step(method, image, key):
        return nnx.value_and_grad(lambda m: m.loss({"image": image}, key)[0])(method)

    for i in range(3):
        assert method.queue.full() == (i == 2)
        loss, grads = step(method, images + i, jax.random.key(i))
        assert np.isfinite(loss)
    assert len(set(np.asarray(method.queue.marks[...]))) == 16
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(grads) if g.ndim > 1)


def test_no_image_is_its_own_neighbour():
    queue = NeighbourQueue(size=3, width=2, rngs=nnx.Rngs(0))
    stored = jnp.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    queue.push_marked(stored, jnp.array([7, 8, 9], jnp.uint32))
    query = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    found = queue.nearest(query, jnp.array([7, 5], jnp.uint32))
    np.testing.assert_array_equal(found, stored[jnp.array([1, 0])])


def test_fingerprints_tell_images_apart(images):
    marks = np.asarray(fingerprint(images))
    assert len(set(marks)) == len(images)
    order = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_array_equal(fingerprint(images[order]), marks[order])
    assert fingerprint(images[:1].at[0, 3, 4, 1].add(1e-3))[0] != marks[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": {"name": "2020"}}, "method.version.name"),
        ({"version": {**FIRST, "tau": 1.0}}, "method.version.tau"),
        ({"classifier": "random"}, "method.classifier"),
        ({"classes": (1, 3)}, "method.classes"),
        ({"offset": (0.0,)}, "method.offset"),
        ({"version": {**SECOND, "second_view": {**MOVING, "crop": 6}}}, "second_view.crop"),
        ({"version": {**SECOND, "local_views": 0}}, "local_view"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)
