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

The contrastive and color losses train on all sources; the redshift loss has weight 0. Colors are
those of the catalogue's aperture fluxes. A linear probe reads the held-out colors and the
half-light radius (pixels; stars have about 1.9) from the latent. Variant `tfds`: the same from a
converted data set.
"""

from ml_collections import ConfigDict

from astrojax.errors import UserError

VARIANTS = ("", "tfds")


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise UserError(
            f"experiments/kids_viking.py has no variant {variant!r}: {', '.join(VARIANTS)}"
        )
    config = ConfigDict()
    config.seed = 0
    config.epochs = 80.0
    config.batch_size = 64
    config.fsdp = 1
    config.threads = 0
    config.log_every = 20
    config.checkpoint_every = 100
    config.keep = 2
    config.init = None
    config.monitor = None
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
        "info": {
            "bands": ("g", "r", "i", "Ks"),
            "pixel_scale": 0.2,
            "unit": "microjansky",
            "zero_point": None,
            "noise": "measure",
            "extinction": None,
        },
        "crop": None,
        "bad_pixels": "error",
        "split": {
            "name": "id",
            "fractions": {"train": 0.7, "validation": 0.1, "test": 0.2},
            "seed": 0,
        },
    }
    config.method = {
        "name": "pita",
        "backbone": {
            "name": "convnext",
            "depths": (2, 2, 2),
            "widths": (24, 48, 96),
            "stem_size": 4,
            "stem_stride": 4,
            "drop_path": 0.0,
            "layer_scale": 1.0,
            "dtype": "float32",
            "remat": False,
        },
        "backbone_outputs": None,
        "latent": (256, 128),
        "projection": (128, 64),
        "redshift_head": (256, 128, 64),
        "redshift_components": 0,
        "color_head": (256, 128, 64),
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
        "view": {
            "name": "galaxy",
            "crop": 32,
            "rotate": True,
            "flip": True,
            "zoom": (1.0, 1.0),
            "shift": 2.0,
            "noise": 1.0,
            "blur": None,
        },
        # Fluxes in units of a few sky sigma, compressed above: faint wings and bright cores.
        "stretch": {"name": "asinh", "scale": (0.03, 0.03, 0.07, 0.3)},
    }
    config.optim = {
        "optimizer": {"name": "adamw", "weight_decay": 1e-4, "b1": 0.9, "b2": 0.999},
        "schedule": {
            "name": "cosine",
            "peak_value": 2e-3,
            "warmup_epochs": 1.0,
            "init_value": 0.0,
            "end_value": 1e-6,
        },
        "decay_bias_and_norm": False,
        "fixed_lr": (),
        "frozen": (),
        "clip_norm": 1.0,
        "accumulate": 1,
        "skip_nonfinite": 0,
    }
    config.evaluate = {
        "linear_probe": {
            "targets": (
                "half_light_radius_r",
                "color_g_r",
                "color_r_i",
                "color_i_Ks",
                "magnitude_r",
            ),
            "penalties": (0.01, 0.1, 1.0, 10.0, 100.0),
            "fractions": (1.0,),
            "repeats": 1,
            "max_iterations": 200,
            "n_bootstrap": 200,
            "seed": 0,
        },
        "projection": {
            "method": "tsne",
            "columns_shown": (
                "magnitude_r",
                "color_g_r",
                "color_i_Ks",
                "half_light_radius_r",
            ),
            "perplexity": 30.0,
            "neighbors": 15,
            "limit": 1000,
            "mosaic": 12,
            "k": 10,
            "seed": 0,
        },
    }
    if variant == "tfds":
        config.data = {
            "name": "tfds",
            "directory": "converted",
            "dataset": "kids_viking",
            "splits": {"train": "train", "validation": "validation", "test": "test"},
            "crop": None,
            "resize": None,
        }
    return config
