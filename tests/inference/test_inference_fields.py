# SPDX-License-Identifier: Apache-2.0
import numpy as np

from astrojax.data.info import DataInfo
from astrojax.inference import fields

INFO = DataInfo(("g", "r"), 20, 0.2, "microjansky", 23.9, classes=("E", "S 0"))


def test_vectors_over_bands_and_classes_are_columns_with_units():
    data = {"flux": np.ones((3, 2)), "ra": np.zeros(3), "label": np.zeros(3, int)}
    found = {f.name: f for f in fields.of_data(data, INFO)}
    assert list(found) == ["flux_g", "flux_r", "ra", "label"]
    assert found["flux_r"].unit == "uJy" and found["ra"].unit == "deg"
    heads = {
        "class_probability": np.array([[0.2, 0.8], [1, 0], [np.nan, np.nan]]),
        "label": np.array([1, 0, -1]),
        "magnitude": np.full((3, 2), 20.0),
    }
    found = {f.name: f for f in fields.of_predictions(heads, INFO)}
    assert found["predicted_class"].values.tolist() == ["S 0", "E", ""]
    assert found["predicted_class_probability_S_0"].values[0] == 0.8
    assert found["predicted_magnitude_g"].unit == "mag"


def test_a_density_gives_percentiles():
    heads = {
        "redshift": np.array([0.5, np.nan]),
        "redshift_sigma": np.array([0.1, np.nan]),
        "redshift_weights": np.array([[1.0, 0.0], [np.nan] * 2], np.float32),
        "redshift_means": np.array([[0.5, 0.7], [np.nan] * 2], np.float32),
        "redshift_sigmas": np.array([[0.1, 0.1], [np.nan] * 2], np.float32),
    }
    found = {f.name: f.values for f in fields.of_predictions(heads, INFO)}
    # One sigma of a Gaussian leaves 15.87% below.
    np.testing.assert_allclose(found["predicted_redshift_p16"][0], 0.4, atol=1e-3)
    np.testing.assert_allclose(found["predicted_redshift_p84"][0], 0.6, atol=1e-3)
    assert np.isnan(found["predicted_redshift_p84"][1])
