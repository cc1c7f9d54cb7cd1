# SPDX-License-Identifier: Apache-2.0
"""I-JEPA with SIGReg on galaxy morphology.

    python -m astrojax.main --config experiments/ijepa.py             # simulated galaxies, 2 cores
    python -m astrojax.main --config experiments/ijepa.py:smoke       # seconds
    python -m astrojax.main --config experiments/ijepa.py:pool --config.data.path=galaxies.npz
    astrojax evaluate --workdir runs/ijepa_pool \
        --config experiments/ijepa.py:galaxy_zoo --config.data.path=galaxy_zoo.npz
    python -m astrojax.main --config experiments/ijepa.py:paper   # needs Galaxy10_DECals.h5

Variants:
- default: simulated galaxies of seven classes, a ViT of 96 features on 64 x 64 pixels.
- `smoke`: the same in seconds, for continuous integration.
- `pool`: the default network on your own unlabelled RGB images, an NPZ file with `blob`, `offsets`
  and `ids` (see `astrojax/data/readers/npz.py`).
- `galaxy_zoo`: the same on labelled images, with `labels` and `class_names` besides. As above, its
  data and its evaluation serve a run that was trained on others.
- `paper`: AstroJEPA's model 4 as its text has it (25,290,240 parameters, weight 0.6) on Galaxy10
  DECaLS; `paper_small` is the network of its models 1 to 3 (5,562,240 parameters). Model 1 is
  `paper_small` with `--config.method.sigreg_weight=0`, model 2 that with `--config.epochs=300`,
  model 3 `paper_small` itself, and model 5 `paper` with a weight of 0.01.

Plain I-JEPA is `--config.method.sigreg_weight=0`; add `--config.monitor.collapse=warn` to let a
run go on that collapses.
"""

from ml_collections import ConfigDict

from astrojax.errors import UserError

VARIANTS = ("", "smoke", "pool", "galaxy_zoo", "paper", "paper_small")


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise UserError(f"experiments/ijepa.py has no variant {variant!r}: {', '.join(VARIANTS)}")
    config = base()
    if variant == "smoke":
        smoke(config)
    if variant in ("pool", "galaxy_zoo"):
        pool(config)
    if variant == "galaxy_zoo":
        galaxy_zoo(config)
    if variant.startswith("paper"):
        paper(config, small=variant == "paper_small")
    return config


def base() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 20.0
    config.batch_size = 128
    config.fsdp = 1
    config.threads = 0
    config.log_every = 20
    config.checkpoint_every = 200
    config.keep = 2
    config.init = None
    config.monitor = {
        "every_epochs": 2.0,
        "examples": 1000,
        "knn_label": "label",
        "collapse": "stop",
        "patience": None,
    }
    # Stamps larger than the crop by sqrt(2), so that a turned view has no empty corners.
    config.data = {
        "name": "survey",
        "survey": "nearby",
        "count": 4000,
        "stamp": 92,
        "labelled_fraction": 0.5,
        "held_out": "all",
        "max_magnitude_error": None,
        "validation": 500,
        "test": 1000,
        "seed": 0,
    }
    config.method = method()
    config.optim = {
        "optimizer": {"name": "adamw", "weight_decay": 0.05, "b1": 0.9, "b2": 0.95},
        "schedule": {
            "name": "cosine",
            "peak_value": 1e-3,
            "warmup_epochs": 2.0,
            "init_value": 1e-5,
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
            "targets": (),
            "penalties": (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
            "fractions": (0.01, 0.1),
            "repeats": 5,
            "max_iterations": 300,
            "n_bootstrap": 200,
            "seed": 0,
        },
        "knn": {"k": (5, 10, 20, 50), "temperature": 0.1, "n_bootstrap": 200, "seed": 0},
        "anomaly": {"k": 10, "anomalous": ("merger", "artefact"), "n_bootstrap": 200, "seed": 0},
        "heatmaps": {"examples": 128, "shown": 6, "num_masks": 32, "seed": 0},
        "projection": {
            "method": "pca",
            "columns_shown": (),
            "perplexity": 30.0,
            "neighbors": 15,
            "limit": 1000,
            "mosaic": 12,
            "k": 10,
            "seed": 0,
        },
    }
    return config


def method() -> ConfigDict:
    return ConfigDict(
        {
            "name": "ijepa",
            "backbone": {
                "name": "vit",
                "patch_size": 8,
                "width": 96,
                "depth": 4,
                "heads": 3,
                "mlp_ratio": 4.0,
                "positions": "sincos",
                "class_token": False,
                "pool": "mean",
                "activation": "gelu",
                "dropout": 0.0,
                "drop_path": 0.0,
                "dtype": "float32",
                "remat": False,
            },
            "predictor": {
                "width": 48,
                "depth": 2,
                "heads": 3,
                "mlp_ratio": 4.0,
                "positions": "sincos",
                "activation": "gelu",
                "dropout": 0.0,
                "projections": True,
                "dtype": "float32",
                "remat": False,
            },
            # 64 patches, of which the targets leave 27 on average.
            "masks": {
                "num_targets": 4,
                "target_scale": (0.15, 0.2),
                "target_aspect": (0.75, 1.5),
                "context_scale": (0.85, 1.0),
                "context_aspect": (1.0, 1.0),
                "context_tokens": 24,
                "min_context": 8,
                "brightness_biased": True,
            },
            "error": "smooth_l1",
            "normalise_targets": True,
            "momentum_start": 0.99,
            "momentum_end": 1.0,
            "share_patches": False,
            "sigreg_weight": 0.02,
            "sigreg_directions": 256,
            "sigreg_t_max": 3.0,
            "sigreg_points": 17,
            "sigreg_n_scaled": True,
            "anomaly_draws": 8,
            "view": {
                "name": "galaxy",
                "crop": 64,
                "rotate": True,
                "flip": True,
                "zoom": (0.9, 1.1),
                "shift": 0.0,
                "noise": 0.0,
                "blur": None,
            },
            # Fluxes in units of a few sky sigma, compressed above: faint arms and bright cores.
            "stretch": {"name": "asinh", "scale": (0.1, 0.2, 0.3)},
        }
    )


def smoke(config: ConfigDict) -> None:
    config.epochs = 2.0
    config.batch_size = 32
    config.log_every = 2
    config.checkpoint_every = 4
    config.monitor.update({"every_epochs": 1.0, "examples": 64, "collapse": "warn"})
    config.data.update({"count": 128, "stamp": 32, "validation": 32, "test": 64})
    config.method.backbone.update({"patch_size": 4, "width": 24, "depth": 1, "heads": 2})
    config.method.predictor.update({"width": 16, "depth": 1, "heads": 2})
    config.method.masks.update({"num_targets": 2, "context_tokens": 16, "min_context": 6})
    config.method.view.crop = 24
    config.method.sigreg_directions = 32
    config.method.anomaly_draws = 2
    config.optim.schedule.warmup_epochs = 0.0
    config.evaluate.linear_probe.update(
        {"penalties": (1e-2, 1.0), "fractions": (), "max_iterations": 50, "n_bootstrap": 20}
    )
    config.evaluate.knn.update({"k": (5, 10), "n_bootstrap": 20})
    config.evaluate.anomaly.n_bootstrap = 20
    config.evaluate.heatmaps.update({"examples": 8, "shown": 2, "num_masks": 4})
    config.evaluate.projection.mosaic = 4


def pool(config: ConfigDict) -> None:
    config.threads = 2
    config.data = images_of("galaxies.npz")
    config.monitor.knn_label = None
    config.method.stretch = {"name": "linear", "scale": (1.0, 1.0, 1.0)}
    del config.evaluate.linear_probe, config.evaluate.knn
    config.evaluate.anomaly.anomalous = ()


def galaxy_zoo(config: ConfigDict) -> None:
    config.data.path = "galaxy_zoo.npz"
    config.data.columns.label = "labels"
    with config.unlocked():
        config.data.class_names = "class_names"
        # Views are mirrored, which turns one kind of spiral into the other.
        config.data.classes = (
            "elliptical",
            ("spiral", ("spiral_clockwise", "spiral_anticlockwise")),
            "edge_on",
            "dont_know",
            "merger",
        )
        config.monitor.knn_label = "label"
    config.data.split.fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    tasks = base().evaluate
    config.evaluate.linear_probe, config.evaluate.knn = tasks.linear_probe, tasks.knn
    config.evaluate.anomaly.anomalous = ("merger", "dont_know")


def images_of(path: str) -> ConfigDict:
    return ConfigDict(
        {
            "name": "npz",
            "path": path,
            "columns": {"image": "blob", "id": "ids"},
            "layout": "nhwc",
            "class_names": None,
            "classes": None,
            "others": "error",
            "sentinels": {},
            "info": {
                "bands": ("i", "r", "g"),
                "pixel_scale": None,
                "unit": "display",
                "zero_point": None,
                "noise": None,
                "extinction": None,
            },
            "crop": None,
            "resize": 92,
            "bad_pixels": "error",
            "split": {
                "name": "id",
                "fractions": {"train": 0.9, "validation": 0.05, "test": 0.05},
                "seed": 0,
            },
        }
    )


def paper(config: ConfigDict, *, small: bool) -> None:
    width, depth, heads = (192, 6, 3) if small else (384, 8, 6)
    config.epochs = 100.0
    config.batch_size = 256
    config.threads = 8
    config.monitor.collapse = "warn"
    config.data = {
        "name": "galaxy10",
        "path": "Galaxy10_DECals.h5",
        "crop": None,
        "resize": None,
        "split": {
            "name": "id",
            "fractions": {"train": 0.85, "validation": 0.05, "test": 0.1},
            "seed": 0,
        },
    }
    own = config.method
    own.backbone.update({"patch_size": 16, "width": width, "depth": depth, "heads": heads})
    own.backbone.update({"positions": "learned", "activation": "relu", "dropout": 0.1})
    own.predictor.update({"width": width, "depth": 6, "heads": heads, "projections": False})
    own.predictor.update({"positions": "learned", "activation": "relu", "dropout": 0.1})
    # 196 patches, of which the targets leave 84 on average.
    own.masks.update({"context_tokens": 80, "min_context": 10})
    own.update({"error": "squared", "normalise_targets": False})
    own.update({"momentum_start": 0.999, "momentum_end": 0.999})
    # 17 knots on [-5, 5], and no factor N.
    own.update({"sigreg_weight": 0.6, "sigreg_t_max": 5.0, "sigreg_points": 9})
    own.sigreg_n_scaled = False
    own.view.update({"crop": 224, "rotate": False, "flip": False, "zoom": (1.0, 1.0)})
    own.stretch = {"name": "linear", "scale": (1.0, 1.0, 1.0)}
    config.optim.optimizer.update({"weight_decay": 0.04, "b2": 0.999})
    config.optim.schedule.update({"peak_value": 1.5e-4, "warmup_epochs": 40.0, "end_value": 1.5e-5})
    config.evaluate.anomaly.anomalous = ()
