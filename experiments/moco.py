# SPDX-License-Identifier: Apache-2.0
"""MoCo pretraining and fine-tuning on redshift, PITA's third baseline, in two stages.

    python -m astrojax.main --config experiments/moco.py
    python -m astrojax.main --config experiments/moco.py:finetune

The second starts from the encoder in `runs/moco` (--config.init.workdir=... for another) and is
`experiments/photoz_supervised.py` in everything else. `:smoke` and `:finetune_smoke` are the same
in seconds.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    if variant not in ("", "smoke", "finetune", "finetune_smoke"):
        raise ValueError(f"moco.py has no variant {variant!r}")
    return _finetune(variant) if variant.startswith("finetune") else _pretrain(variant)


def _pretrain(variant: str) -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 42.0
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
    }
    config.method = {
        "name": "moco",
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
        "queue_size": 4096,
        "momentum": 0.99,
        "temperature": 0.1,
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
            "warmup_epochs": 0.5,
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
    config.evaluate = {}
    if variant == "smoke":
        _small_data(config)
        config.method.latent = (16, 16)
        config.method.projection = (16, 8)
        config.method.queue_size = 64
    return config


def _finetune(variant: str) -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 208.0
    config.batch_size = 128
    config.fsdp = 1
    config.threads = 0
    config.log_every = 20
    config.checkpoint_every = 100
    config.keep = 2
    config.init = {
        "name": "run",
        "workdir": "runs/moco",
        "parts": {"backbone": "encoder/backbone", "neck": "encoder/mlp"},
        "stem": None,
    }
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
    if variant == "finetune_smoke":
        _small_data(config)
        config.init.workdir = "runs/moco_smoke"
        config.data.labelled_fraction = 0.5
        config.method.neck = (16, 16)
        config.method.head = (16,)
        config.evaluate.photoz.n_bootstrap = 20
        config.evaluate.projection.perplexity = 10.0
        config.evaluate.projection.mosaic = 4
    return config


def _small_data(config: ConfigDict) -> None:
    config.epochs = 2.0
    config.batch_size = 32
    config.data.count = 320
    config.data.validation = 32
    config.data.test = 48
    config.data.stamp = 40
    config.method.backbone.depths = (1, 1)
    config.method.backbone.widths = (8, 16)
    config.method.view.crop = 24
