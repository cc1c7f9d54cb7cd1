# SPDX-License-Identifier: Apache-2.0
"""The embedded survey as a data source."""

import numpy as np
import pytest

from astrojax.data.readers import survey
from astrojax.errors import UserError

SETTINGS = {
    "survey": "candels",
    "count": 60,
    "validation": 0,
    "test": 8,
    "labelled_fraction": 0.2,
    "held_out": "all",
    "max_magnitude_error": None,
    "stamp": 32,
    "seed": 0,
}


def test_splits_hold_what_was_asked_for():
    splits = survey.load(**SETTINGS)
    assert set(splits) == {"train", "test"}
    train, test = splits["train"], splits["test"]
    assert len(train) == 60 and train[0]["image"].shape == (32, 32, 4)
    assert train.info.bands == ("F606W", "F814W", "F125W", "F160W")
    known = train.column("spectroscopic")
    assert known.sum() == 12
    np.testing.assert_array_equal(np.isfinite(train.column("redshift")), known)
    assert np.isfinite(test.column("redshift")).all()
    assert np.isfinite(train.column("magnitude")).all()
    magnitude = train.column("magnitude")[:, 3]
    assert np.median(magnitude[known]) < np.median(magnitude[~known])
    assert not set(train.column("id")) & set(test.column("id"))


def test_fewer_labels_are_a_subset_and_the_test_set_stays():
    many, few = (
        survey.load(**SETTINGS | {"labelled_fraction": f, "count": n})
        for f, n in ((0.5, 60), (0.1, 60))
    )
    assert not (few["train"].column("spectroscopic") & ~many["train"].column("spectroscopic")).any()
    less = survey.load(**SETTINGS | {"count": 20})
    np.testing.assert_array_equal(less["test"].column("image"), many["test"].column("image"))


def test_held_out_objects_can_be_as_bright_as_the_labels():
    bright = survey.load(**SETTINGS | {"count": 0, "held_out": "spectroscopic"})["test"]
    every = survey.load(**SETTINGS | {"count": 0})["test"]
    assert len(bright) == len(every) == 8
    assert np.median(bright.column("magnitude")[:, 3]) < np.median(every.column("magnitude")[:, 3])


def test_selection_by_error_and_what_cannot_be():
    tight = survey.load(**SETTINGS | {"survey": "splus", "max_magnitude_error": 0.1})
    assert tight["train"].column("magnitude_error").max() <= 0.1
    with pytest.raises(UserError, match="labelled_fraction"):
        survey.load(**SETTINGS | {"labelled_fraction": 1.5})
