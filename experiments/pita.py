# SPDX-License-Identifier: Apache-2.0
"""PITA on the embedded CANDELS-like survey, or on the real CANDELS file.

    python -m astrojax.main --config experiments/pita.py            # embedded survey, 2 CPU cores
    python -m astrojax.main --config experiments/pita.py:smoke      # seconds
    python -m astrojax.main --config experiments/pita.py:paper --config.data.path=candels.h5

Variants:
- default: simulated galaxies, a small ConvNeXt on 48 x 48 pixels, for a laptop.
- `smoke`: the same in seconds, for continuous integration.
- `paper`: the published recipe on the authors' HDF5 file (their Hugging Face data set
  Ashodkh/candels-unlabeled-and-labeled-images, DOI 10.57967/hf/8044, or your own file in that
  layout): ConvNeXt-Tiny, 64 x 64 crops of 108 x 108 stamps, queue 60,000, batch 1,024, 1,550
  epochs of a cosine with half-period 500. Without that file it stops with one sentence.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 14.0
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
        "count": 9000,
        "stamp": 72,
        "labelled_fraction": 0.3,
        "held_out": "spectroscopic",
        "validation": 300,
        "test": 1000,
        "seed": 0,
        "deredden": True,
    }
    config.method = {
        "name": "pita",
        "backbone": {
            "name": "convnext",
            "depths": (2, 2, 2),
            "widths": (32, 64, 128),
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
        "colour_head": (256, 128, 64),
        "queue_size": 4096,
        "momentum": 0.99,
        "temperature": 0.1,
        "contrastive_weight": 0.0025,
        "redshift_weight": 1.0,
        "colour_weight": 1.0,
        "huber_delta": 0.15,
        "colour_units": "magnitudes",
        "colour_offset": (0.6, 0.6, 0.2, 24.6),
        "enqueue_first": False,
        "view": {
            "name": "galaxy",
            "crop": 48,
            "rotate": True,
            "flip": True,
            "zoom": (1.0, 1.0),
            "shift": 2.0,
            "noise": 1.0,
            "blur": None,
        },
        # Fluxes in units of a few sky sigma, compressed above: faint wings and bright cores.
        "stretch": {"stretch": "asinh", "scale": (0.001, 0.001, 0.003, 0.003)},
    }
    config.optim = {
        "optimizer": {"name": "adamw", "weight_decay": 1e-4, "b1": 0.9, "b2": 0.999},
        "schedule": {
            "name": "cosine",
            "peak": 1e-3,
            "warmup_epochs": 0.5,
            "initial": 0.0,
            "final": 1e-6,
        },
        "decay_vectors": False,
        "constant_rate": (),
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
            "draws": 200,
            "seed": 0,
        },
    }
    return config
