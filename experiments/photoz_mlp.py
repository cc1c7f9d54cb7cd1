# SPDX-License-Identifier: Apache-2.0
"""The photometry MLP on four magnitudes, PITA's traditional baseline.

    python -m astrojax.main --config experiments/photoz_mlp.py
    python -m astrojax.main --config experiments/photoz_mlp.py:density
    python -m astrojax.main --config experiments/photoz_mlp.py:smoke

`density` predicts five Gaussians instead of a number, and stops where the validation split is
most likely: trained to the end, densities are too narrow (with
`--config.method.redshift_components=5` on the default, 68% intervals hold 0.546 +- 0.016 of 1,000
test galaxies). Three of its runs (`--config.seed=0`, 1, 2) have a CRPS of 0.0883, 0.0912 and
0.0874, each +- 0.003, and NMAD 0.070, 0.075 and 0.067; their 68% intervals hold 0.666, 0.663 and
0.676, each +- 0.015, their 95% intervals 0.933, 0.957 and 0.924, each +- 0.008. The mean density
of the three,

    astrojax evaluate --workdir RUN_0 RUN_1 RUN_2 --out runs/ensemble

has a CRPS of 0.0864 +- 0.0027, and its intervals hold 0.690 +- 0.015 and 0.963 +- 0.006.

The report also has the template fit that knows the simulator's spectra, dust and noise: the limit
of what photometry alone can give on the embedded survey.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 300.0
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
        "name": "photometry",
        "hidden": (256, 256, 256),
        "offset": (25.4, 24.9, 24.3, 24.1),
        "scale": (2.0, 2.0, 2.0, 2.0),
        "missing": 30.0,
        "redshift_components": 0,
        "huber_delta": 0.15,
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
        "template_fit": {"survey": "candels", "n_bootstrap": 200, "seed": 0},
    }
    if variant == "smoke":
        _smoke(config)
    elif variant == "density":
        _density(config)
    elif variant:
        raise ValueError(f"photoz_mlp.py has the variants density and smoke, not {variant!r}")
    return config


def _density(config: ConfigDict) -> None:
    config.method.redshift_components = 5
    config.monitor = {
        "every_epochs": 5.0,
        "examples": 300,
        "knn_label": None,
        "collapse": "warn",
        "patience": 8,
    }


def _smoke(config: ConfigDict) -> None:
    config.epochs = 10.0
    config.batch_size = 32
    config.data.count = 320
    config.data.validation = 32
    config.data.test = 48
    config.data.labelled_fraction = 0.5
    config.data.stamp = 40
    config.method.hidden = (16, 16)
    config.evaluate.photoz.n_bootstrap = 20
    config.evaluate.uncertainty.n_bootstrap = 20
    config.evaluate.template_fit.n_bootstrap = 20
