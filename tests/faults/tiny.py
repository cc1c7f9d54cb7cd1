# SPDX-License-Identifier: Apache-2.0
"""A run of seconds for tests of faults: the photometry MLP on 96 objects of an HDF5 file.

python -m astrojax.main --config tests/faults/tiny.py --config.data.path=FILE
"""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

_EXPERIMENT = Path(__file__).parents[2] / "experiments" / "photoz_mlp.py"


def get_config() -> ConfigDict:
    spec = importlib.util.spec_from_file_location("photoz_mlp", _EXPERIMENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("smoke")
    config.epochs = 20.0
    config.batch_size = 16
    config.log_every = 1
    config.checkpoint_every = 15
    config.threads = 2
    config.evaluate = ConfigDict()
    config.data = {
        "name": "hdf5",
        "path": "",
        "columns": {"image": "image", "id": "id", "magnitude": "magnitude", "redshift": "redshift"},
        "layout": "nhwc",
        "label_thinning": None,
        "sentinels": {},
        "info": {
            "bands": ("a", "b", "c", "d"),
            "pixel_scale": 0.1,
            "unit": "arbitrary",
            "zero_point": None,
            "noise": None,
            "extinction": None,
        },
        "crop": None,
        "bad_pixels": "error",
        "split": None,
    }
    return config


def write_data(path: Path, count: int = 96) -> None:
    """Objects whose redshift is a color."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    magnitude = rng.normal(24, 1, (count, 4)).astype(np.float32)
    redshift = np.abs(magnitude[:, 0] - magnitude[:, 3]).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["image"] = rng.normal(size=(count, 4, 4, 4)).astype(np.float32)
        file["id"] = np.arange(count)
        file["magnitude"], file["redshift"] = magnitude, redshift
