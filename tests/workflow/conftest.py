# SPDX-License-Identifier: Apache-2.0
"""A small survey in memory, and a network pretrained on it."""

import numpy as np
import pytest

import astrojax

COUNT, SIDE = 96, 20
PIXELS = {"bands": ("g", "r"), "unit": "nanomaggies", "pixel_scale": 0.2}
SMALL = {
    "method.backbone.width": 8,
    "method.projector": (16, 16, 16),
    "method.predictor": 8,
    "evaluate": {},
    "monitor": None,
}


@pytest.fixture(scope="session")
def survey():
    """Returns stamps [n h w 2] with a blob of some size and color, and its columns."""
    rng = np.random.default_rng(0)
    size, red = rng.uniform(1, 3, COUNT), rng.integers(0, 2, COUNT)
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    blob = np.exp(-(x**2 + y**2)[None] / (2 * size[:, None, None] ** 2))
    flux = 1 + 3 * np.stack([1 - red, red], axis=-1)
    images = blob[..., None] * flux[:, None, None] + rng.normal(0, 0.1, (COUNT, SIDE, SIDE, 2))
    kind = np.where(red == 1, "red", "blue").astype(object)
    kind[::7] = ""  # without a label
    columns = {
        "id": np.array([f"g{i}" for i in range(COUNT)]),
        "kind": kind.astype(str),
        "radius": np.where(np.arange(COUNT) % 5 == 0, np.nan, size),
        "flat": rng.uniform(0, 1, COUNT),
        "bar_yes": rng.integers(0, 20, COUNT).astype(float),
        "bar_no": rng.integers(1, 20, COUNT).astype(float),
        "merging": np.ma.masked_array(rng.integers(0, 2, COUNT), np.arange(COUNT) % 6 == 0),
        "dusty": rng.integers(0, 2, COUNT),
        "z": rng.uniform(0.1, 2, COUNT),
    }
    return images.astype(np.float32), columns


@pytest.fixture(scope="session")
def pixels():
    """Returns what has to be said of the stamps."""
    return dict(PIXELS)


@pytest.fixture(scope="session")
def small():
    """Returns changes that make a recipe's network tiny."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def data(survey, pixels):
    """Returns the survey as a data set of arrays."""
    images, columns = survey
    return astrojax.open_data(images, catalogue=columns, **pixels)


@pytest.fixture(scope="session")
def pretrained(data, tmp_path_factory):
    """Returns the folder of a run of a few steps on the arrays."""
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    astrojax.train("simsiam", data=data, workdir=folder, epochs=0.5, **SMALL)
    return folder
