# SPDX-License-Identifier: Apache-2.0
"""A key with one value per band that has another number of values is one sentence at start."""

import copy

import pytest
from flax import nnx

from astrojax import methods
from astrojax.data.info import DataInfo
from astrojax.errors import UserError

KEYS = [
    ("pita", "color_offset"),
    ("pita", "stretch.scale"),
    ("moco", "stretch.scale"),
    ("photoz_mlp", "offset"),
    ("photoz_mlp", "scale"),
    ("photoz_supervised", "stretch.scale"),
    ("ijepa", "stretch.scale"),
    ("lejepa", "stretch.scale"),
    ("self_classifier", "offset"),
    ("self_classifier", "stretch.scale"),
    ("lensiam", "offset"),
    ("lensiam", "stretch.scale"),
    ("magnitudes", "stretch.scale"),
]


@pytest.mark.parametrize("name, key", KEYS)
def test_a_value_too_many_is_named(experiment, name, key):
    method = copy.deepcopy(experiment(name, "smoke")["method"])
    *parents, leaf = key.split(".")
    section = method
    for parent in parents:
        section = section[parent]
    bands = len(section[leaf])
    section[leaf] = (*section[leaf], 1.0)
    side = method["simulator"]["observation"]["stamp"] if method.get("simulator") else 256
    names = tuple(f"band{i}" for i in range(bands))
    info = DataInfo(bands=names, image_size=side, noise=(1.0,) * bands)
    message = f"'method.{key}' has {bands + 1} values for the {bands} bands of the data"
    with pytest.raises(UserError, match=message):
        methods.build(method, info=info, rngs=nnx.Rngs(0))


def test_weights_of_photographs_are_for_three_bands(experiment):
    method = copy.deepcopy(experiment("pita", "smoke")["method"])
    bands = len(method["stretch"]["scale"])
    method["stretch"]["name"] = "imagenet"
    info = DataInfo(bands=("b",) * bands, image_size=256, noise=(1.0,) * bands)
    with pytest.raises(UserError, match="three bands"):
        methods.build(method, info=info, rngs=nnx.Rngs(0))
