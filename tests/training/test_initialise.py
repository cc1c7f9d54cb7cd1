# SPDX-License-Identifier: Apache-2.0
"""Weights of another run are taken for the same bands and unit, or not at all."""

import json

import numpy as np
import pytest

import astrojax
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.training import initialise


@pytest.fixture
def trained(tmp_path):
    info = {"bands": ["u", "g", "r"], "unit": "nanomaggies"}
    config = {"data": {"name": "hdf5", "info": info}, "astrojax": astrojax.__version__}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


def bands(trained, *names, unit="nanomaggies", any_band=False):
    info = DataInfo(names, 8, unit=unit)
    return initialise._trained_bands(trained, info, any_band=any_band)


def test_bands_are_matched_by_name_and_another_unit_is_refused(trained):
    assert bands(trained, "r", "u") == ("u", "g", "r")
    assert bands(trained, "z", any_band=True) == ("z",)
    with pytest.raises(UserError, match="bands u, g, r, and these have z: .*'init.stem'"):
        bands(trained, "z", "g")
    with pytest.raises(UserError, match="images in nanomaggies, and these are in microjansky"):
        bands(trained, "u", "g", "r", unit="microjansky")
    kernel = np.arange(3.0).reshape(1, 1, 3, 1)
    found = initialise._by_name(("stem",), kernel, ("u", "g", "r"), ("r", "u", "g"))
    assert found.ravel().tolist() == [2, 0, 1]
