# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest

from astrojax.data import validate
from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError

INFO = DataInfo(
    bands=("g", "r"), image_size=2, unit="microjansky", zero_point=23.9, pixel_scale=0.2
)


def _source(**columns):
    n = len(next(iter(columns.values())))
    return ArraySource({"image": np.zeros((n, 2, 2, 2), np.float32), **columns}, INFO)


def test_require_names_what_is_missing_and_what_there_is():
    source = _source(id=np.arange(3), flux=np.ones((3, 2)))
    validate.require(source, ("image", "flux"), "method.pita")
    with pytest.raises(UserError, match="method.pita needs the column 'redshift'.*flux, id, image"):
        validate.require(source, ("redshift",), "method.pita")


def test_leakage_is_counted_by_id_and_by_position():
    ra, dec = np.array([10.0, 20.0, 30.0]), np.array([0.0, 0.0, 0.0])
    pool = _source(id=np.array(["1", "2", "3"]), ra=ra, dec=dec)
    same_id = _source(id=np.array([3, 4, 5]), ra=ra + 100, dec=dec)
    near = _source(id=np.array([7, 8, 9]), ra=ra + np.array([0.1, 0.5, 0.2]) / 3600, dec=dec + 1e-9)
    apart = _source(id=np.array([7, 8, 9]), ra=ra + 2 / 3600, dec=dec)
    with pytest.raises(UserError, match="leakage: 1 objects of the pool .*same id"):
        validate.disjoint(pool, same_id, ("the pool", "the labelled set"), radius_arcsec=None)
    with pytest.raises(UserError, match="leakage: 3 objects .*within 1.0 arcsec"):
        validate.disjoint(pool, near, ("the pool", "the labelled set"), radius_arcsec=1.0)
    validate.disjoint(pool, near, ("the pool", "the labelled set"), radius_arcsec=None)
    validate.disjoint(pool, apart, ("the pool", "the labelled set"), radius_arcsec=1.0)


def test_images_that_a_model_was_not_made_for():
    validate.same_data(INFO, dataclasses.replace(INFO, pixel_scale=0.2001, image_size=64))
    with pytest.raises(UserError, match="bands .'g', 'r'. against .'r', 'g'."):
        validate.same_data(INFO, dataclasses.replace(INFO, bands=("r", "g")))
    with pytest.raises(UserError, match="unit microjansky against nanomaggies; zero_point 23.9"):
        validate.same_data(INFO, dataclasses.replace(INFO, unit="nanomaggies", zero_point=22.5))
    with pytest.raises(UserError, match="pixel_scale 0.2 against 0.4"):
        validate.same_data(INFO, dataclasses.replace(INFO, pixel_scale=0.4))
