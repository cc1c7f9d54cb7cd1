# SPDX-License-Identifier: Apache-2.0
"""One tiny trained run, and images for it in several formats."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astrojax.inference import model as models
from astrojax.training import loop

sys.path.insert(0, str(Path(__file__).parent))  # for fake_hub

BANDS, SIZE = ("g", "r"), 20
N = 60


def galaxies(n, seed):
    """Round or elongated blobs [n h w c] in noise of 1, and which they are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    label = rng.integers(0, 2, n)
    axis = np.where(label, 0.4, 1.0)[:, None, None]
    blob = 20 * np.exp(-np.hypot(x, y / axis) / 2)
    images = blob[..., None] * np.array([1.0, 2.0]) + rng.normal(size=(n, SIZE, SIZE, 2))
    return images.astype(np.float32), label


@pytest.fixture(scope="session")
def run(tmp_path_factory, experiment):
    """Folder of a classifier of two bands and two classes, trained on an NPZ file."""
    folder = tmp_path_factory.mktemp("inference")
    images, label = galaxies(160, 0)
    names = np.array([f"t{i:03d}" for i in range(len(label))])
    np.savez(folder / "train.npz", images=images, label=label, id=names, kinds=["round", "long"])
    config = experiment("photoz_supervised", "smoke")
    config |= {"batch_size": 32, "epochs": 12.0, "monitor": None, "evaluate": {}, "threads": 0}
    config["data"] = {
        "name": "npz",
        "path": str(folder / "train.npz"),
        "columns": {"image": "images", "label": "label", "id": "id"},
        "layout": "nhwc",
        "class_names": "kinds",
        "classes": None,
        "others": "error",
        "sentinels": {},
        "info": {
            "bands": BANDS,
            "pixel_scale": 0.2,
            "unit": "nanomaggies",
            "zero_point": None,
            "noise": (1.0, 1.0),
            "extinction": None,
        },
        "crop": None,
        "resize": None,
        "bad_pixels": "error",
        "split": {
            "name": "id",
            "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "seed": 0,
        },
    }
    # Without norms, so that an image far brighter than any has an embedding far from any.
    backbone = {
        "name": "vgg",
        "depths": (1, 1),
        "widths": (8, 16),
        "batch_norm": False,
        "grid": 1,
        "hidden": (),
        "dropout": 0.0,
        "dtype": "float32",
        "remat": False,
    }
    config["method"] |= {
        "backbone": backbone,
        "target": "label",
        "outputs": 2,
        "error": "cross_entropy",
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "test_time_augmentation": 1,
        "view": config["method"]["view"] | {"crop": 16},
        "stretch": {"name": "asinh", "scale": (1.0, 1.0)},
    }
    loop.train(config, folder / "run")
    return folder / "run"


@pytest.fixture(scope="session")
def model(run):
    return models.open_model(str(run), None)


@pytest.fixture(scope="session")
def images():
    """N images and their classes that the run has not seen."""
    return galaxies(N, 1)


@pytest.fixture(scope="session")
def stamps(tmp_path_factory, images):
    """The images in an HDF5 file, unlabelled: 3 has NaN pixels, 5 an edge, 7 is no galaxy."""
    file = tmp_path_factory.mktemp("stamps") / "stamps.h5"
    pixels = images[0].copy()
    pixels[3, 9, 9, 0] = np.nan
    pixels[4, 0, 0, 0] = np.nan  # outside of what the network sees
    pixels[5, :, :4] = 0
    pixels[7] = 2000 + np.random.default_rng(0).normal(size=(SIZE, SIZE, 2))
    with h5py.File(file, "w") as out:
        out["images"] = pixels.transpose(0, 3, 1, 2)
        out["ids"] = np.array([f"s{i:03d}" for i in range(N)], "S4")
        out["zspec"] = np.linspace(0, 1, N)
    return str(file)


@pytest.fixture
def cutouts(tmp_path, images):
    """FITS cubes of the first 12 images with WCS and BUNIT, and a catalogue of them."""
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for i in range(12):
        cards = {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 150 + i / 60,
            "CRVAL2": 2.0,
            "CRPIX1": 10.5,
            "CRPIX2": 10.5,
            "CDELT1": -0.2 / 3600,
            "CDELT2": 0.2 / 3600,
            "BUNIT": "nanomaggy",
        }
        cube = images[0][i].transpose(2, 0, 1)
        fits.PrimaryHDU(cube, fits.Header(cards)).writeto(folder / f"c{i}.fits")
    table = Table(
        {
            "ID": [f"c{i}" for i in range(12)],
            "RA": 150 + np.arange(12) / 60,
            "DEC": np.full(12, 2.0),
            "MAG_R": np.linspace(18, 22, 12),
        },
        units={"RA": "deg", "DEC": "deg"},
    )
    table.write(tmp_path / "cat.fits")
    return folder
