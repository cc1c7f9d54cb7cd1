# SPDX-License-Identifier: Apache-2.0
import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.methods import build
from astrojax.simulate.lens.deflection import Lens
from astrojax.training.run import Run

STILL = {
    "name": "galaxy",
    "crop": 12,
    "rotate": False,
    "flip": False,
    "zoom": (1.0, 1.0),
    "shift": 0.0,
    "noise": 0.0,
    "blur": None,
}
INFO = DataInfo(bands=("lens",), image_size=16)


@pytest.fixture(scope="module")
def config(experiment):
    """The smoke run of LenSiam on smaller stamps."""
    found = copy.deepcopy(experiment("lensiam", "smoke"))
    observation = found["method"]["simulator"]["observation"]
    observation |= {"stamp": 16, "pixel_scale": 0.35, "psf_size": 3}
    found["method"]["backbone"] |= {"depths": (1,), "width": 4}
    found["method"] |= {"projector": (6, 6, 5), "predictor": 12}
    return found


@pytest.fixture(scope="module")
def section(config):
    return config["method"]


@pytest.fixture(scope="module")
def lenses(section):
    """A batch of lens parameters."""
    rng, population = np.random.default_rng(0), section["simulator"]["population"]
    drawn = {name: rng.uniform(*population[name], 6) for name in Lens._fields}
    return {name: jnp.asarray(values, jnp.float32) for name, values in drawn.items()}


@pytest.fixture(scope="module")
def pair(section, lenses):
    return make(section)._views(jax.random.key(0), lenses)


def make(section, **changes):
    return build({**section, **changes}, info=INFO, rngs=nnx.Rngs(0))


def cosine(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.mean(
        [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    )


def test_loss_is_the_cosine_of_prediction_and_projection(section):
    plain = {"simulator": None, "view": STILL, "stretch": {"name": "linear", "scale": (2.0,)}}
    image = jax.random.normal(jax.random.key(0), (6, 16, 16, 1))
    method = make(section, **plain)
    z = method.projector(method.backbone(image[:, 2:14, 2:14] / 2, train=True), train=True)
    expected = -cosine(method.predictor(z, train=True), z)
    loss, logs = make(section, **plain).loss({"image": image}, jax.random.key(1))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)  # a float32 network
    assert 0.5 < logs["projection_std"] < 1.2
    same = jnp.broadcast_to(image[:1], image.shape)
    _, logs = make(section, **plain).loss({"image": same}, jax.random.key(1))
    assert logs["projection_std"] < 1e-2  # rounding: all projections are one


def test_pairs_share_the_lens_and_nothing_else(section, lenses, pair):
    one, two = pair
    assert one.shape == two.shape == (6, 16, 16, 1)
    np.testing.assert_allclose(one.max((1, 2, 3)), 1, rtol=1e-6)
    assert np.abs(one - two).mean() > 0.01
    # The members of a pair are more alike than images of two lenses, in the mean of the pairs.
    flat = [np.asarray(x).reshape(6, -1) for x in pair]
    distance = np.linalg.norm(flat[0][:, None] - flat[1][None], axis=-1)
    assert np.diagonal(distance).mean() < distance.mean()
    method = make(section)
    assert method.columns == Lens._fields  # the images of the data are not even read
    other = method._views(jax.random.key(1), lenses)[0]
    assert np.abs(one - other).mean() > 0.01


def test_with_a_view_one_image_is_augmented_twice(section, lenses):
    one, two = make(section, view=STILL)._views(jax.random.key(0), lenses)
    assert one.shape == (6, 12, 12, 1)
    np.testing.assert_array_equal(one, two)


def test_images_are_resampled_to_the_size_of_the_network(section, lenses, pair):
    method = make(section, resize=24)
    one, _ = method._views(jax.random.key(0), lenses)
    expected = jax.image.resize(pair[0], (6, 24, 24, 1), "bilinear")
    np.testing.assert_allclose(one, expected, atol=1e-5)  # fused in another order
    np.testing.assert_allclose(method.embed(pair[0]), method.embed(expected), atol=1e-5)


@pytest.mark.parametrize(("heads", "biased"), [("simsiam", 1), ("lensiam", 5)])
def test_heads(section, heads, biased):
    method = make(section, heads=heads)
    linears = [*method.projector.linears, *method.predictor.linears]
    # Of SimSiam's linear layers only the predictor's last has a bias, of LenSiam's all.
    assert sum(linear.bias is not None for linear in linears) == biased
    last = method.projector.norms[2]
    assert (last.scale is not None) == (last.bias is not None) == (heads == "lensiam")


def test_the_predictor_skips_the_warm_up(config, lenses):
    config = copy.deepcopy(config) | {"monitor": None, "batch_size": 6, "epochs": 4.0}
    config["optim"]["schedule"] |= {"warmup_epochs": 2.0}
    data = {
        "train": ArraySource({**jax.device_get(lenses), "image": np.zeros((6, 16, 16, 1))}, INFO)
    }
    job = Run(config, data, jax.devices()[:1])
    state = job.initial_state()
    gradients = jax.tree.map(jnp.ones_like, state.params)
    updates, _ = job.tx.update(gradients, state.opt_state, state.params)
    for part, moves in (("backbone", False), ("projector", False), ("predictor", True)):
        assert all(np.any(u) == moves for u in jax.tree.leaves(updates[part]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": "byol"}, "method.heads"),
        ({"simulator": None}, "method.simulator"),
        ({"offset": ()}, "method.offset"),
        ({"view": {**STILL, "crop": 17}}, "smaller than config key 'method.view.crop'"),
    ],
)
def test_mistakes_are_named(section, changes, message):
    with pytest.raises(UserError, match=message):
        make(section, **changes)


def test_simulator_and_data_have_images_of_one_kind(section):
    info = DataInfo(bands=("lens",), image_size=20)
    with pytest.raises(UserError, match="method.simulator.observation"):
        build(section, info=info, rngs=nnx.Rngs(0))
