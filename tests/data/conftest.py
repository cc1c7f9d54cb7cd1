# SPDX-License-Identifier: Apache-2.0
"""Real observations for the readers, where they are installed."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def real_data():
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("ASTROJAX_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (set ASTROJAX_REAL_DATA)")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def info():
    """Makes a `data.info` section."""

    def make(*bands, **changes):
        base = {"pixel_scale": 0.1, "unit": "microjansky", "zero_point": None}
        return {"bands": bands, "noise": None, "extinction": None, **base, **changes}

    return make


@pytest.fixture
def display():
    """The `data.info` section of an 8-bit composite."""

    def make(*bands):
        base = {"pixel_scale": None, "unit": "display", "zero_point": None}
        return {"bands": bands, "noise": None, "extinction": None, **base}

    return make
