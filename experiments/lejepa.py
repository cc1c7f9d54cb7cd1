# SPDX-License-Identifier: Apache-2.0
"""LeJEPA on galaxy morphology.

    python -m astrojax.main --config experiments/lejepa.py            # simulated galaxies, 2 cores
    python -m astrojax.main --config experiments/lejepa.py:smoke      # seconds
    python -m astrojax.main --config experiments/lejepa.py:pool --config.data.path=galaxies.npz
    astrojax evaluate --workdir runs/lejepa_pool \
        --config experiments/lejepa.py:galaxy_zoo --config.data.path=galaxy_zoo.npz
    python -m astrojax.main --config experiments/lejepa.py:paper   # needs Galaxy10_DECals.h5

Variants:
- default: simulated galaxies of seven classes, a ViT of 96 features on 64 x 64 pixels, two global
  and two local views that suit galaxies, for a laptop.
- `smoke`: the same in seconds, for continuous integration.
- `pool`: the default network on your own unlabelled RGB images, an NPZ file with `blob`, `offsets`
  and `ids` (see `astrojax/data/readers/npz.py`).
- `small_pool`: the same images and the small residual network of `experiments/transfer.py`, for
  transfer beside `experiments/magnitudes.py:small_pool`.
- `galaxy_zoo`: `pool` on labelled images, with `labels` and `class_names` besides. As above, its
  data and its evaluation serve a run that was trained on others.
- `paper`: the authors' guidance (weight 0.05, 1,024 directions, 2 global views of 224 and 6 local
  ones of 96 pixels) on Galaxy10 DECaLS with ConvNeXt-Tiny; `natural` is the same with the views
  of everyday images that the authors use.
"""

from ml_collections import ConfigDict

from astrojax.errors import UserError

VARIANTS = ("", "smoke", "pool", "small_pool", "galaxy_zoo", "paper", "natural")


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise UserError(f"experiments/lejepa.py has no variant {variant!r}: {', '.join(VARIANTS)}")
    config = base()
    if variant == "smoke":
        smoke(config)
    if variant in ("pool", "small_pool", "galaxy_zoo"):
        pool(config)
    if variant == "small_pool":
        small(config)
    if variant == "galaxy_zoo":
        galaxy_zoo(config)
    if variant in ("paper", "natural"):
        paper(config)
    if variant == "natural":
        config.method.global_view = natural_view(crop=224, scale=(0.3, 1.0))
        config.method.local_view = natural_view(crop=96, scale=(0.05, 0.3))
        config.method.stretch = {"name": "linear", "scale": (1.0, 1.0, 1.0)}
    return config


def base() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 12.0
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
        "stamp": 100,
        "labelled_fraction": 0.5,
        "held_out": "all",
        "max_magnitude_error": None,
        "validation": 500,
        "test": 1000,
        "seed": 0,
    }
    config.method = method()
    config.optim = {
        "optimizer": {"name": "adamw", "weight_decay": 0.05, "b1": 0.9, "b2": 0.999},
        "schedule": {
            "name": "cosine",
            "peak_value": 1e-3,
            "warmup_epochs": 1.0,
            "init_value": 1e-5,
            "end_value": 1e-6,
        },
        "decay_bias_and_norm": False,
        "fixed_lr": (),
        "frozen": (),
        "clip_norm": None,
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
        "explorer": {
            "method": "tsne",
            "perplexity": 30.0,
            "neighbors": 15,
            "limit": 5000,
            "thumbnail": 48,
            "seed": 0,
        },
    }
    return config


def method() -> ConfigDict:
    view = {
        "name": "galaxy",
        "crop": 64,
        "rotate": True,
        "flip": True,
        "zoom": (0.9, 1.2),
        "shift": 3.0,
        "noise": 0.5,
        "blur": (0.0, 0.8),
    }
    return ConfigDict(
        {
            "name": "lejepa",
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
            "projector": (256, 256, 32),
            "global_views": 2,
            "local_views": 2,
            "global_view": view,
            # A ViT takes one size: a local view is the middle of the galaxy, enlarged and shifted.
            "local_view": {**view, "zoom": (1.5, 2.5), "shift": 8.0},
            "sigreg_weight": 0.05,
            "sigreg_directions": 256,
            "sigreg_t_max": 3.0,
            "sigreg_points": 17,
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
    config.method.backbone.update({"patch_size": 8, "width": 24, "depth": 1, "heads": 2})
    config.method.projector = (32, 16)
    config.method.local_views = 1
    config.method.global_view.update({"crop": 24, "shift": 1.0})
    config.method.local_view.update({"crop": 24, "shift": 2.0})
    config.method.sigreg_directions = 32
    # Batch norm takes off the bias of the backbone's last norm, whose gradient is then rounding;
    # Adam would scale it up, and a run on 8 devices would differ visibly from one on 1.
    config.optim.optimizer = ConfigDict(
        {"name": "sgd", "weight_decay": 1e-4, "momentum": 0.9, "nesterov": False}
    )
    config.optim.schedule.update({"peak_value": 0.05, "warmup_epochs": 0.0})
    config.evaluate.linear_probe.update(
        {"penalties": (1e-2, 1.0), "fractions": (), "max_iterations": 50, "n_bootstrap": 20}
    )
    config.evaluate.knn.update({"k": (5, 10), "n_bootstrap": 20})
    config.evaluate.anomaly.n_bootstrap = 20
    config.evaluate.projection.mosaic = 4
    config.evaluate.explorer.method = "pca"


def pool(config: ConfigDict) -> None:
    config.threads = 2
    config.data = {
        "name": "npz",
        "path": "galaxies.npz",
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
    config.monitor.knn_label = None
    display(config)
    del config.evaluate.linear_probe, config.evaluate.knn


def small(config: ConfigDict) -> None:
    config.epochs = 16.0
    config.threads = 0
    config.data.cache_in_memory = True
    config.method.backbone = {
        "name": "resnet",
        "depths": (1, 1, 1, 1),
        "block": "basic",
        "stem": "imagenet",
        "width": 32,
        "zero_init_residual": False,
        "dtype": "float32",
        "remat": False,
    }
    # A residual network takes any size: the middle of the galaxy need not be enlarged.
    config.method.local_view.update({"crop": 32, "zoom": (0.75, 1.25), "shift": 8.0})


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


def display(config: ConfigDict) -> None:
    """8-bit composites, whose noise is not that of the sky."""
    config.method.stretch = {"name": "linear", "scale": (1.0, 1.0, 1.0)}
    config.method.global_view.noise = config.method.local_view.noise = 0.0
    config.evaluate.anomaly.anomalous = ()


def paper(config: ConfigDict) -> None:
    config.epochs = 400.0
    config.batch_size = 256
    config.threads = 8
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
    display(config)
    own = config.method
    own.backbone = ConfigDict(
        {
            "name": "convnext",
            "depths": (3, 3, 9, 3),
            "widths": (96, 192, 384, 768),
            "stem_size": 4,
            "stem_stride": 4,
            "drop_path": 0.1,
            "layer_scale": 1e-6,
            "dtype": "bfloat16",
            "remat": False,
        }
    )
    own.update({"projector": (2048, 2048, 64), "local_views": 6, "sigreg_directions": 1024})
    own.global_view.update({"crop": 224, "zoom": (1.0, 1.5), "shift": 8.0})
    own.local_view.update({"crop": 96, "zoom": (1.0, 1.5), "shift": 32.0})
    config.optim.optimizer.weight_decay = 5e-4
    config.optim.schedule.update({"peak_value": 5e-4, "end_value": 5e-7})


def natural_view(*, crop: int, scale: tuple[float, float]) -> ConfigDict:
    return ConfigDict(
        {
            "name": "natural",
            "crop": crop,
            "scale": scale,
            "aspect": (0.75, 4 / 3),
            "flip": True,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.2,
            "hue": 0.1,
            "jitter_probability": 0.8,
            "grey_probability": 0.2,
            "blur_sigma": (0.1, 2.0),
            "blur_probability": 0.5,
            "solarize_probability": 0.2,
        }
    )
