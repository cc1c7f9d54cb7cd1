# SPDX-License-Identifier: Apache-2.0
import h5py
import numpy as np
import pytest

from astrojax.data.open import open_sources
from astrojax.errors import UserError

SKY = {"name": "sky", "fractions": {"train": 0.5, "test": 0.5}, "seed": 0, "cell": 1.0, "link": 2.0}


def _file(path, n=30, side=20, labels=None, **columns):
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["images"] = rng.integers(0, 255, (n, side, side, 3), np.uint8)
        file["ans"] = np.arange(n, dtype=np.uint8) % 10 if labels is None else labels
        for name, values in columns.items():
            file[name] = values
    return {"name": "galaxy10", "path": str(path), "crop": None, "resize": None, "split": None}


def test_decals_file_with_positions_splits_by_the_sky(tmp_path):
    rng = np.random.default_rng(1)
    place = {"ra": rng.uniform(0, 360, 30), "dec": rng.uniform(-5, 30, 30)}
    redshift = np.where(np.arange(30) % 3, 0.1, np.nan)
    section = _file(tmp_path / "g.h5", **place, redshift=redshift, pxscale=np.full(30, 0.262))
    sources = open_sources({**section, "crop": 16, "resize": 8, "split": SKY})
    assert sum(map(len, sources.values())) == 30
    example = sources["train"][0]
    assert example["image"].shape == (8, 8, 3) and example["image"].dtype == np.uint8
    assert {"ra", "dec", "redshift", "pxscale", "label", "id"} <= set(example)
    assert sources["train"].info.classes[1] == "merging"


def test_sdss_file_has_its_own_classes_and_no_positions(tmp_path):
    section = _file(tmp_path / "g.h5", side=69)
    source = open_sources(section)["train"]
    assert source.info.classes[0].startswith("disk") and "ra" not in source[0]
    with pytest.raises(UserError, match="the sky split needs the column 'ra'"):
        open_sources({**section, "split": SKY})


def test_labels_outside_the_ten_classes(tmp_path):
    section = _file(tmp_path / "g.h5", labels=np.full(30, 11, np.uint8))
    with pytest.raises(UserError, match="labels 11 are outside the list of 10 classes"):
        open_sources(section)
