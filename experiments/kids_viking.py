# SPDX-License-Identifier: Apache-2.0
r"""PITA on stamps cut from real mosaics, without redshifts: four bands of a KiDS/VIKING field.

    astrojax stamps --image g=g.fits --image r=r.fits --image i=i.fits \
        --image Ks=Ks.fits --zero-points 0,0,0,30 --catalogue catalogue.npz --flux flux_r5px \
        --columns half_light_radius_r --size 64 --out stamps.h5
    python -m astrojax.main --config experiments/kids_viking.py --config.data.path=stamps.h5
    astrojax convert --config experiments/kids_viking.py \
        --config.data.path=stamps.h5 --out converted --dataset kids_viking
    python -m astrojax.main --config experiments/kids_viking.py:tfds \
        --config.data.directory=converted

Encoder, views and optimizer are those of `experiments/pita.py`; what differs is here.
The contrastive and color losses train on all sources; the redshift loss has weight 0. Colors are
those of the catalogue's aperture fluxes. A linear probe reads the held-out colors and the
half-light radius (pixels; stars have about 1.9) from the latent. Variant `tfds`: the same from a
converted data set.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import photoz, run
from shared.data import info, split


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=80.0, batch_size=64)
    config.data = {
        "name": "hdf5",
        "path": "stamps.h5",
        "fetch": "cut stamps from your mosaics with `astrojax stamps --help` and "
        "pass the file with --config.data.path=FILE",
        "columns": {
            "image": "images",
            "id": "id",
            "flux": "flux",
            "half_light_radius_r": "half_light_radius_r",
        },
        "layout": "nchw",
        "label_thinning": None,
        "sentinels": {},
        "info": info(("g", "r", "i", "Ks"), pixel_scale=0.2, unit="microjansky", noise="measure"),
        "crop": None,
        "bad_pixels": "error",
        "split": split(0.7, 0.1, 0.2),
    }
    config.method = {
        "name": "pita",
        "backbone": photoz.backbone(),
        "backbone_outputs": None,
        "latent": (256, 128),
        "projection": (128, 64),
        "redshift_head": (256, 128, 64),
        "redshift_components": 0,
        "color_head": (256, 128, 64),
        "mlp_init": "lecun_normal",
        "queue_size": 1024,
        "momentum": 0.99,
        "temperature": 0.1,
        "contrastive_weight": 0.0025,
        "redshift_weight": 0.0,
        "color_weight": 1.0,
        "huber_delta": 0.15,
        "color_units": "magnitudes",
        "color_offset": (0.8, 0.4, 1.0, 20.0),
        "enqueue_first": False,
        "test_time_augmentation": 4,
        "view": photoz.view(),
        "stretch": parts.asinh_stretch(0.03, 0.03, 0.07, 0.3),
    }
    config.optim = photoz.optim(peak_value=2e-3, warmup_epochs=1.0)
    targets = ("half_light_radius_r", "color_g_r", "color_r_i", "color_i_Ks", "magnitude_r")
    shown = ("magnitude_r", "color_g_r", "color_i_Ks", "half_light_radius_r")
    penalties = (0.01, 0.1, 1.0, 10.0, 100.0)
    config.evaluate = {
        "linear_probe": parts.linear_probe(
            targets=targets, penalties=penalties, fractions=(1.0,), max_iterations=200
        ),
        "projection": parts.projection("tsne", columns_shown=shown),
    }
    return config


def tfds(config: ConfigDict) -> None:
    config.data = {
        "name": "tfds",
        "directory": "converted",
        "dataset": "kids_viking",
        "splits": {"train": "train", "validation": "validation", "test": "test"},
        "crop": None,
        "resize": None,
    }


VARIANTS = {"": (), "tfds": (tfds,)}
