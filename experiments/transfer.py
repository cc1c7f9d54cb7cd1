# SPDX-License-Identifier: Apache-2.0
"""Transfer to classification in the five schemes of Martinazzo et al. (2020).

    python -m astrojax.main --config experiments/transfer.py:scratch
    python -m astrojax.main --config experiments/transfer.py:features
    python -m astrojax.main --config experiments/transfer.py:top
    python -m astrojax.main --config experiments/transfer.py:finetune     # goes on from top
    python -m astrojax.main --config experiments/transfer.py:ef15_scratch \
        --config.data.path=efigi.npz
    python -m astrojax.main --config experiments/transfer.py:vgg16_features_imagenet \
        --config.init.path=vgg16-397923af.pth

The variant is made of words joined by "_", each optional, in any order:
- scheme: `scratch` (default), `features` (the backbone stays as it is, a new top is trained),
  `top` and then `finetune` (10 epochs of the top, then everything). The two schemes with ImageNet
  weights add `imagenet`: torchvision's VGG16 file, `vgg16-397923af.pth` or the same as
  safetensors, which you download yourself; without that word the weights are those of
  `experiments/magnitudes.py`, from --config.init.workdir.
- task: `survey` (default: galaxy, star, quasar or merger in the embedded survey), `ef2`, `ef4`,
  `ef15` (EFIGI morphology, NPZ archive with `blob`, `offsets`, `ids`, `T_type`) or `stars` (star
  or galaxy, NPZ archive of one band with `blob`, `offsets`, `filenames`, `labels`, `class_names`).
- network: `slim` (VGG, default for `survey` and `stars`), `small` (residual, 64 px, default for
  EFIGI, for 2 cores), `resnet` (residual at full resolution, for an accelerator) or `vgg16`.
- `smoke`: everything in seconds.

The VGGs follow the paper's recipe: early stopping with patience 10 on the validation loss and the
best weights restored; Adam, and for the second half of fine-tuning SGD. The residual networks
have a cosine schedule, full rotations and mild zooms, and predictions averaged over four turns.
`experiments/studies/schemes.py` and `low_data.py` run all schemes over seeds and sizes.
"""

from ml_collections import ConfigDict

from astrojax.errors import UserError

SCHEMES = ("scratch", "features", "top", "finetune")
TASKS = {
    "survey": ("galaxy", "star", "quasar", "merger"),
    # Hubble stages T; irregulars later than 10 and, of ef15, the few cD galaxies are left out.
    "ef2": (("elliptical", (-6, -5, -4)), ("spiral", tuple(range(10)))),
    "ef4": (
        ("elliptical", (-6, -5, -4)),
        ("spiral", tuple(range(10))),
        ("lenticular", (-3, -2, -1)),
        ("irregular", (10,)),
    ),
    "ef15": (-5, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    "stars": ("star", "galaxy"),
}
PRETEXT = {
    "slim": "runs/magnitudes",
    "small": "runs/magnitudes_small_pool",
    "resnet": "runs/magnitudes_pool",
    "vgg16": "runs/magnitudes_vgg16",
}
OTHERS = ("imagenet", "smoke")


def get_config(variant: str = "") -> ConfigDict:
    words = variant.split("_") if variant else []
    known = (*SCHEMES, *TASKS, *PRETEXT, *OTHERS)
    unknown = [w for w in words if w not in known]
    if unknown:
        raise UserError(
            f"experiments/transfer.py does not know {unknown[0]!r} in its variant; it knows: "
            f"{', '.join(known)}"
        )
    scheme = _one(words, SCHEMES, "scratch")
    task = _one(words, TASKS, "survey")
    network = _one(words, PRETEXT, "small" if task.startswith("ef") else "slim")
    config = base()
    config.data = survey() if task == "survey" else archive(task)
    config.method.outputs = len(TASKS[task])
    NETWORKS[network](config)
    if network in ("small", "resnet"):
        modern(config, scheme)
    else:
        paper(config, scheme, rate=1e-4 if network == "vgg16" else 1e-3)
    config.init = weights(scheme, variant, network, imagenet="imagenet" in words)
    if config.data.name == "npz":
        config.method.view.crop = config.data.resize = 64
    if task == "stars" and scheme != "scratch":
        config.init.stem = "mean"
    if task == "stars":
        config.method.stretch.scale = config.method.stretch.scale[:1]
    if "imagenet" in words:
        config.method.stretch = {"name": "imagenet", "scale": (1.0, 1.0, 1.0)}
    if "smoke" in words:
        smoke(config)
    return config


def _one(words: list[str], choices: object, default: str) -> str:
    found = [w for w in words if w in choices]
    if len(found) > 1:
        raise UserError(f"the variant names both {found[0]!r} and {found[1]!r}: choose one")
    return found[0] if found else default


def base() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.fsdp = 1
    config.threads = 0
    config.log_every = 50
    config.checkpoint_every = 500
    config.keep = 1
    config.monitor = None
    config.method = {
        "name": "supervised",
        "backbone_outputs": None,
        "neck": (),
        "target": "label",
        "error": "cross_entropy",
        "huber_delta": 1.0,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
        "train_backbone": True,
    }
    config.evaluate = {
        "classification": {"n_bootstrap": 200, "seed": 0},
        "projection": {
            "method": "tsne",
            "columns_shown": (),
            "perplexity": 50.0,
            "neighbors": 15,
            "limit": 1000,
            "mosaic": 0,
            "k": 10,
            "seed": 0,
        },
    }
    return config


def survey() -> dict:
    return {
        "name": "survey",
        "survey": "splus",
        "count": 2000,
        "validation": 500,
        "test": 2000,
        "labelled_fraction": 0.0,
        "held_out": "all",
        "max_magnitude_error": None,
        "stamp": 32,
        "seed": 1,  # another sky than that of the pretext
        "deredden": True,
        "composite": {
            "channels": (
                ("red", ("r", "i", "F861", "z")),
                ("green", ("g", "F515", "F660")),
                ("blue", ("u", "F378", "F395", "F410", "F430")),
            ),
            "stretch": 20.0,
            "q": 10.0,
            "minimum": -2.0,
        },
        "cache_in_memory": True,
        "labels": None,
    }


def archive(task: str) -> dict:
    stars = task == "stars"
    return {
        "name": "npz",
        "path": "star_galaxy.npz" if stars else "efigi.npz",
        "columns": {
            "image": "blob",
            "id": "filenames" if stars else "ids",
            "label": "labels" if stars else "T_type",
        },
        "layout": "nhwc",
        "class_names": "class_names" if stars else None,
        "classes": TASKS[task],
        "others": "drop",
        "sentinels": {},
        "info": {
            "bands": ("V",) if stars else ("i", "r", "g"),
            "pixel_scale": None,
            "unit": "display",
            "zero_point": None,
            "noise": None,
            "extinction": None,
        },
        "crop": None,
        "resize": None,
        "bad_pixels": "error",
        "split": {
            "name": "id",
            "fractions": {"train": 0.72, "validation": 0.08, "test": 0.2},
            "seed": 0,
        },
        "cache_in_memory": True,
        "labels": None,
    }


def slim(config: ConfigDict) -> None:
    config.method.backbone = {
        "name": "vgg",
        "depths": (1, 1, 2, 2),
        "widths": (16, 32, 64, 128),
        "batch_norm": True,
        "grid": 1,
        "hidden": (),
        "dropout": 0.0,
        "dtype": "float32",
        "remat": False,
    }
    config.method.update(
        {"head": (256,), "max_norm": 2.0, "dropout": 0.5, "test_time_augmentation": 1}
    )
    config.method.view = {
        "name": "galaxy",
        "crop": 32,
        "rotate": False,
        "flip": True,
        "zoom": (1.0, 1.0),
        "shift": 1.0,
        "noise": 0.0,
        "blur": None,
    }
    config.method.stretch = {"name": "linear", "scale": (0.25, 0.25, 0.25)}


def vgg16(config: ConfigDict) -> None:
    slim(config)
    config.method.backbone.update(
        {"depths": (2, 2, 3, 3, 3), "widths": (64, 128, 256, 512, 512), "batch_norm": False}
    )
    config.method.head = (2048,)
    config.method.stretch.scale = (1.0, 1.0, 1.0)


def resnet(config: ConfigDict) -> None:
    config.method.backbone = {
        "name": "resnet",
        "depths": (1, 1, 1, 1),
        "block": "basic",
        "stem": "cifar",
        "width": 32,
        "zero_init_residual": False,
        "dtype": "float32",
        "remat": False,
    }
    config.method.update(
        {"head": (), "max_norm": None, "dropout": 0.0, "test_time_augmentation": 4}
    )
    config.method.view = {
        "name": "galaxy",
        "crop": 64,
        "rotate": True,
        "flip": True,
        "zoom": (0.9, 1.15),
        "shift": 2.0,
        "noise": 0.0,
        "blur": None,
    }
    config.method.stretch = {"name": "linear", "scale": (1.0, 1.0, 1.0)}


def small(config: ConfigDict) -> None:
    resnet(config)
    config.method.backbone.stem = "imagenet"


def paper(config: ConfigDict, scheme: str, rate: float) -> None:
    """Adam, and SGD to fine-tune; at most so many epochs, fewer by early stopping."""
    config.epochs = {"scratch": 200.0, "features": 100.0, "top": 10.0, "finetune": 200.0}[scheme]
    config.batch_size = 32
    optimizer = {"name": "adam", "weight_decay": 0.0, "b1": 0.9, "b2": 0.999}
    if scheme == "finetune":
        optimizer = {"name": "sgd", "weight_decay": 0.0, "momentum": 0.9, "nesterov": False}
    _optimise(config, scheme, optimizer, {"name": "constant", "peak_value": rate})
    if scheme != "top":
        config.monitor = {
            "every_epochs": 1.0,
            "examples": 5000,
            "knn_label": None,
            "collapse": "warn",
            "patience": 10,
        }


def modern(config: ConfigDict, scheme: str) -> None:
    """AdamW with a cosine over a fixed number of epochs."""
    config.epochs = {"scratch": 80.0, "features": 40.0, "top": 10.0, "finetune": 80.0}[scheme]
    config.batch_size = 64
    optimizer = {"name": "adamw", "weight_decay": 0.05, "b1": 0.9, "b2": 0.999}
    schedule = {
        "name": "cosine",
        "peak_value": 1e-3,
        "warmup_epochs": 2.0,
        "init_value": 0.0,
        "end_value": 1e-6,
    }
    _optimise(config, scheme, optimizer, schedule)


def _optimise(config: ConfigDict, scheme: str, optimizer: dict, schedule: dict) -> None:
    still = scheme in ("features", "top")
    config.method.train_backbone = not still
    config.optim = {
        "optimizer": optimizer,
        "schedule": schedule,
        "decay_bias_and_norm": False,
        "fixed_lr": (),
        "frozen": ("backbone",) if still else (),
        "clip_norm": 1.0,
        "accumulate": 1,
        "skip_nonfinite": 0,
    }


def weights(scheme: str, variant: str, network: str, *, imagenet: bool) -> dict | None:
    """Where the weights come from."""
    if scheme == "scratch":
        return None
    if scheme == "finetune":
        before = f"runs/transfer_{variant.replace('finetune', 'top')}"
        parts = {"backbone": "backbone", "head": "head"}
        return {"name": "run", "workdir": before, "parts": parts, "stem": None}
    if imagenet:
        return {
            "name": "torch",
            "path": "vgg16-397923af.pth",
            "arch": "torchvision/vgg16",
            "part": "backbone",
            "stem": None,
        }
    parts = {"backbone": "backbone"}
    return {"name": "run", "workdir": PRETEXT[network], "parts": parts, "stem": None}


def smoke(config: ConfigDict) -> None:
    config.epochs = 2.0
    config.batch_size = 32
    config.log_every = 2
    config.checkpoint_every = 4
    config.evaluate.classification.n_bootstrap = 10
    config.evaluate.projection.limit = 64
    if config.monitor is not None:
        config.monitor.examples = 64
    if config.data.name == "survey":
        config.data.update({"count": 128, "validation": 64, "test": 64})
    if config.method.backbone.get("batch_norm"):
        # The slim network as small as in `experiments/magnitudes.py:smoke`.
        config.method.backbone.update(
            {"depths": (1, 1, 1), "widths": (8, 16, 16), "batch_norm": False}
        )
        config.method.head = (32,)


NETWORKS = {"slim": slim, "small": small, "resnet": resnet, "vgg16": vgg16}
