# SPDX-License-Identifier: Apache-2.0
"""The fully supervised ConvNeXt on redshift, PITA's second baseline.

    python -m astrojax.main --config experiments/photoz_supervised.py
    python -m astrojax.main --config experiments/photoz_supervised.py:smoke

PITA's encoder, latent and redshift head, with the Huber loss on the galaxies that have a redshift
and on nothing else. It takes as many steps as the default of `experiments/pita.py`.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 208.0
    config.batch_size = 128
    config.fsdp = 1
    config.threads = 0
    config.log_every = 20
    config.checkpoint_every = 100
    config.keep = 2
    config.init = None
    config.monitor = None
    config.data = {
        "name": "survey",
        "survey": "candels",
        "count": 7500,
        "validation": 300,
        "test": 1000,
        "labelled_fraction": 0.2,
        "held_out": "spectroscopic",
        "max_magnitude_error": None,
        "stamp": 48,
        "seed": 0,
        "deredden": True,
        "labels": {"column": "redshift", "count": None, "drop_unlabelled": True, "seed": 0},
    }
    config.method = {
        "name": "supervised",
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
        "neck": (256, 128),
        "head": (256, 128, 64),
        "target": "redshift",
        "outputs": 1,
        "error": "huber",
        "huber_delta": 0.15,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
        "dropout": 0.0,
        "max_norm": None,
        "train_backbone": True,
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
        "stretch": {"name": "asinh", "scale": (0.001, 0.001, 0.003, 0.003)},
    }
    config.optim = {
        "optimizer": {"name": "adamw", "weight_decay": 1e-4, "b1": 0.9, "b2": 0.999},
        "schedule": {
            "name": "cosine",
            "peak_value": 1e-3,
            "warmup_epochs": 5.0,
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
        "photoz": {
            "magnitude": "magnitude_F160W",
            "magnitude_edges": (18.0, 21.0, 22.0, 23.0, 24.0, 26.0),
            "redshift_edges": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
            "n_bootstrap": 200,
            "seed": 0,
        },
        "uncertainty": {"levels": (0.68, 0.95), "n_bootstrap": 200, "seed": 0},
        "projection": {
            "method": "tsne",
            "columns_shown": (
                "magnitude_F160W",
                "color_F125W_F160W",
                "redshift",
                "size",
                "predicted_redshift",
            ),
            "perplexity": 30.0,
            "neighbors": 15,
            "limit": 1000,
            "mosaic": 12,
            "k": 10,
            "seed": 0,
        },
    }
    if variant == "smoke":
        _smoke(config)
    elif variant:
        raise ValueError(f"photoz_supervised.py has the variant smoke, not {variant!r}")
    return config


def _smoke(config: ConfigDict) -> None:
    config.epochs = 2.0
    config.batch_size = 32
    config.data.count = 320
    config.data.validation = 32
    config.data.test = 48
    config.data.labelled_fraction = 0.5
    config.data.stamp = 40
    config.method.backbone.depths = (1, 1)
    config.method.backbone.widths = (8, 16)
    config.method.view.crop = 24
    config.method.neck = (16, 16)
    config.method.head = (16,)
    config.evaluate.photoz.n_bootstrap = 20
    config.evaluate.uncertainty.n_bootstrap = 20
    config.evaluate.projection.perplexity = 10.0
    config.evaluate.projection.mosaic = 4
