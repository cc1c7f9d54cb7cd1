# SPDX-License-Identifier: Apache-2.0
import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax import methods as methods
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.nn.layers import NonTrainable

INFO = DataInfo(bands=("g", "r", "i"), image_size=32, noise=(0.1, 0.1, 0.1))
STILL = {
    "name": "galaxy",
    "crop": 24,
    "rotate": False,
    "flip": False,
    "zoom": (1.0, 1.0),
    "shift": 0.0,
    "noise": 0.0,
    "blur": None,
}


@pytest.fixture(scope="module")
def build(experiment):
    def make(**changes):
        section = copy.deepcopy(experiment("lejepa", "smoke")["method"])
        return methods.build({**section, **changes}, info=INFO, rngs=nnx.Rngs(0))

    return make


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(0, 1, (16, 32, 32, 3)), jnp.float32)


def logs_of(model, images):
    graph, state = nnx.split(model)  # batch norm changes state, which a closure may not

    def loss(state, images):
        return nnx.merge(graph, state, copy=True).loss({"image": images}, jax.random.key(1))

    return jax.jit(loss)(state, images)


def test_equal_views_differ_by_nothing(build, images):
    """Also that the views of one image are compared, and not those of different images."""
    model = build(global_view=STILL, local_view=STILL)
    loss, logs = logs_of(model, images)
    assert float(logs["invariance"]) < 1e-8  # rounding of the mean of equal float32
    assert float(loss) == pytest.approx(0.05 * float(logs["sigreg"]), rel=1e-4)
    _, moved = logs_of(build(), images)
    assert float(moved["invariance"]) > 1e-3


def test_collapse_costs_what_the_statistic_says(build, images):
    model = build()
    last = model.projector.linears[-1]
    last.kernel[...] = jnp.zeros_like(last.kernel[...])
    _, logs = logs_of(model, images)
    # n equal numbers at 0: n int (1 - phi)^2 phi = 0.402 n on [-3, 3].
    assert float(logs["invariance"]) == 0
    assert float(logs["sigreg"]) == pytest.approx(0.402 * 16, rel=0.01)


def test_there_is_no_teacher(build):
    assert not jax.tree.leaves(nnx.state(build(), NonTrainable))


def test_the_embedding_is_of_the_backbone(build, images):
    model = build()
    crop = model.stretch(images[:, 4:28, 4:28])
    assert model.embed(images).shape == (16, model.backbone.width)
    np.testing.assert_array_equal(model.embed(images), model.backbone(crop))


def test_natural_views_of_8_bit_images(build, experiment):
    view = dict(experiment("lejepa", "natural")["method"]["global_view"])
    view |= {"crop": 24, "blur_probability": 0.0}
    model = build(
        global_view=view,
        local_view=None,
        local_views=0,
        stretch={"name": "linear", "scale": (1.0, 1.0, 1.0)},
    )
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    loss, _ = logs_of(model, jnp.asarray(pixels))
    assert np.isfinite(float(loss))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"global_views": 1, "local_views": 0, "local_view": None}, "two views or more"),
        ({"local_view": None}, "method.local_view"),
        ({"local_view": {**STILL, "crop": 16}}, "made for one image size"),
        ({"sigreg_weight": 0.0}, "method.sigreg_weight"),
    ],
)
def test_mistakes_are_named(build, changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)
