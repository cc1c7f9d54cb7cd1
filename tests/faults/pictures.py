# SPDX-License-Identifier: Apache-2.0
"""A classifier of tiny images, for the faults of every command: a second of training.

python -m astrojax.main --config tests/faults/pictures.py --config.data.path=FILE
"""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

_EXPERIMENT = Path(__file__).parents[2] / "experiments" / "photoz_supervised.py"
COUNT, SIDE = 96, 12


def get_config() -> ConfigDict:
    spec = importlib.util.spec_from_file_location("photoz_supervised", _EXPERIMENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("smoke")
    config.update({"batch_size": 16, "epochs": 8.0, "log_every": 2, "checkpoint_every": 5})
    config.data = {
        "name": "hdf5",
        "path": "",
        "columns": {"image": "image", "id": "id", "label": "label"},
        "layout": "nhwc",
        "info": {
            "bands": ("g", "r"),
            "pixel_scale": 0.2,
            "unit": "nanomaggies",
            "noise": (1.0, 1.0),
        },
        "split": {
            "name": "id",
            "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "seed": 0,
        },
    }
    config.evaluate = {"classification": {"n_bootstrap": 20}}
    changes = {
        "target": "label",
        "outputs": 2,
        "error": "cross_entropy",
        "test_time_augmentation": 1,
        "stretch": {"name": "asinh", "scale": (1.0, 1.0)},
    }
    for key, value in changes.items():
        config.method[key] = value
    config.method.backbone = {
        "name": "vgg",
        "depths": (1, 1),
        "widths": (4, 8),
        "batch_norm": False,
        "grid": 1,
        "hidden": (),
        "dropout": 0.0,
        "dtype": "float32",
        "remat": False,
    }
    config.method.view.crop = 8
    return config


def write_data(path: Path, side: int = SIDE) -> None:
    """Round and elongated blobs in noise, and which they are."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    label = rng.integers(0, 2, COUNT)
    blob = 20 * np.exp(-np.hypot(x, y / np.where(label, 0.4, 1.0)[:, None, None]) / 2)
    images = blob[..., None] * np.array([1.0, 2.0]) + rng.normal(size=(COUNT, side, side, 2))
    with h5py.File(path, "w") as file:
        file["image"] = images.astype(np.float32)
        file["id"] = np.array([f"s{i:03d}" for i in range(COUNT)], "S4")
        file["label"] = label


def write_labels(path: Path) -> None:
    """Labels by hand of every third object, as `astrojax label` writes them."""
    lines = [f"s{i:03d},{('round', 'long')[i % 2]},2026-01-01T00:00:00Z" for i in range(0, 96, 3)]
    path.write_text("\n".join(["id,label,time", *lines, ""]))


def write_mosaics(folder: Path) -> None:
    """Two aligned FITS images and a catalogue of positions in them."""
    import numpy as np
    from astropy.io import fits
    from astropy.table import Table

    rng = np.random.default_rng(1)
    for band in "gr":
        image = rng.normal(size=(200, 200)).astype(np.float32)
        fits.PrimaryHDU(image).writeto(folder / f"{band}.fits")
    positions = rng.uniform(10, 190, (60, 2))
    Table(positions, names=("x", "y")).write(folder / "positions.fits")
