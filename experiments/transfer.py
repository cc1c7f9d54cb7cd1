# SPDX-License-Identifier: Apache-2.0
"""Transfer to classification in the five schemes of Martinazzo et al. (2020).

    python -m astrojax.main --config experiments/transfer.py:scratch
    python -m astrojax.main --config experiments/transfer.py:features
    python -m astrojax.main --config experiments/transfer.py:top
    python -m astrojax.main --config experiments/transfer.py:finetune     # goes on from top
    python -m astrojax.main --config experiments/transfer.py:smoke        # seconds
    python -m astrojax.main --config experiments/transfer.py:ef15_scratch \
        --config.data.path=efigi.npz
    python -m astrojax.main --config experiments/transfer.py:vgg16_features_imagenet \
        --config.init.path=vgg16-397923af.pth

Every line of `VARIANTS` sets the keywords of `transfer`, which are what differs:
- `scheme`: `scratch`, `features` (the backbone stays as it is, a new top is trained), `top` and
  then `finetune` (10 epochs of the top, then everything).
- `task`: `survey` (galaxy, star, quasar or merger in the embedded survey), `ef2`, `ef4`, `ef15`
  (EFIGI morphology, NPZ archive with `blob`, `offsets`, `ids`, `T_type`), `stars` (star or
  galaxy, NPZ archive of one band with `blob`, `offsets`, `filenames`, `labels`, `class_names`),
  `sg` and `sgq` (S-PLUS: star, galaxy and, in `sgq`, quasar; `splus_classes.csv` with `id`, `ra`,
  `dec` and `class` from SDSS spectra, and the folder `cutouts` of <id>.png) or `mg` (merging
  galaxies of SDSS: a folder with the folders `merging` and `non_interacting`).
- `network`: `slim` (VGG, for `survey` and `stars`), `small` (residual, 64 px, for EFIGI, for 2
  cores), `resnet` (residual at full resolution, for an accelerator) or `vgg16`.
- `imagenet`: torchvision's VGG16, `vgg16-397923af.pth` or the same as safetensors, which you
  download yourself, instead of the weights of `experiments/magnitudes.py` in
  --config.init.workdir.
- `smoke`: everything in seconds.
A variant is named by its task and its network where they are not the usual ones, its scheme, and
these two: `survey` and the network of a task are not named, and `scratch` alone is the default.

The VGGs follow the paper's recipe: early stopping with patience 10 on the validation loss and the
best weights restored; Adam, and for the second half of fine-tuning SGD. `vgg16` has nothing that
the paper has not: no mirrors, no shifts, no clipping; with few labels (`low_data`, section III.D)
it starts from scratch with SGD at 1e-4. The residual networks
have a cosine schedule, full rotations and mild zooms, and predictions averaged over four turns.
`experiments/studies/schemes.py` and `low_data.py` run all schemes over seeds and sizes.
"""

import itertools
import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.errors import UserError
from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import composites, run
from shared.data import info, npz, split

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
    "sg": ("STAR", "GALAXY"),
    "sgq": ("STAR", "GALAXY", "QSO"),
    "mg": ("merging", "non_interacting"),
}
SPLUS = ("sg", "sgq")
# The runs of `experiments/magnitudes.py` that have the same network.
PRETEXT = {
    "slim": "runs/magnitudes",
    "small": "runs/magnitudes_small_pool",
    "resnet": "runs/magnitudes_pool",
    "vgg16": "runs/magnitudes_vgg16",
}


def get_config(variant: str = "") -> ConfigDict:
    return transfer(**run.choose(VARIANTS, variant, __file__))


def transfer(
    *,
    scheme: str = "scratch",
    task: str = "survey",
    network: str | None = None,
    imagenet: bool = False,
    low_data: bool = False,
    smoke: bool = False,
) -> ConfigDict:
    """Returns the config of any combination."""
    network = network or usual_network(task)
    for word, known in ((scheme, SCHEMES), (task, TASKS), (network, PRETEXT)):
        if word not in known:
            raise UserError(f"transfer knows {', '.join(known)}, not {word!r}")
    config = parts.start(epochs=0.0, batch_size=32, log_every=50, checkpoint_every=500, keep=1)
    config.data = survey() if task == "survey" else archive(task)
    config.method = classifier(len(TASKS[task]))
    plane = {"perplexity": 50.0, "mosaic": 0}
    config.evaluate = {
        "classification": {"n_bootstrap": 200, "seed": 0},
        "projection": parts.projection("tsne", **plane),
    }
    if network in ("small", "resnet"):
        residual(config, scheme, stem="imagenet" if network == "small" else "cifar")
    else:
        paper(config, scheme, network)
    if low_data and network == "vgg16" and scheme == "scratch":
        config.optim.optimizer = ConfigDict(parts.sgd(weight_decay=0.0))
    config.init = weights(scheme, network, imagenet=imagenet)
    if config.init is not None and network == "vgg16" and task in (*SPLUS, "mg") and not imagenet:
        config.init.workdir = "runs/magnitudes_paper"
    if scheme == "finetune":
        config.init.workdir = "runs/transfer_" + name_of(task, network, "top", imagenet, smoke)
    if config.data.name in ("npz", "folder"):
        config.method.view.crop = config.data.resize = 64
    if task == "stars" and scheme != "scratch":
        config.init.stem = "mean"
    if task == "stars":
        config.method.stretch.scale = config.method.stretch.scale[:1]
    if imagenet or (network == "vgg16" and task in (*SPLUS, "mg")):
        config.method.stretch = {"name": "imagenet", "scale": (1.0, 1.0, 1.0)}
    if smoke:
        make_small(config)
    return config


def usual_network(task: str) -> str:
    return "small" if task in ("ef2", "ef4", "ef15", "mg") else "slim"


def survey() -> dict:
    # Another sky than that of the pretext.
    return composites.splus(count=2000, test=2000, seed=1, labels=None)


def archive(task: str) -> dict:
    sides = split(0.72, 0.08, 0.2)
    if task in SPLUS:
        return composites.spectroscopic(
            classes=TASKS[task], others="drop", split=sides, labels=None
        )
    if task == "mg":
        files = {"name": "folder", "path": "mergers", "id_from": "path", "unreadable": "error"}
        pixels = {"info": info(("red", "green", "blue")), "crop": None, "resize": 64}
        labels = {"classes": TASKS[task], "others": "error", "split": sides, "labels": None}
        return {**files, **pixels, **labels, "bad_pixels": "error", "cache_in_memory": True}
    stars = task == "stars"
    names = ("filenames", "labels") if stars else ("ids", "T_type")
    return npz(
        "star_galaxy.npz" if stars else "efigi.npz",
        columns={"image": "blob", "id": names[0], "label": names[1]},
        class_names="class_names" if stars else None,
        classes=TASKS[task],
        others="drop",
        info=info(("V",) if stars else ("i", "r", "g")),
        split=sides,
        cache_in_memory=True,
        labels=None,
    )


def classifier(classes: int) -> dict:
    return {
        "name": "supervised",
        "backbone_outputs": None,
        "neck": (),
        "mlp_init": "lecun_normal",
        "target": "label",
        "outputs": classes,
        "error": "cross_entropy",
        "huber_delta": 1.0,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
    }


def paper(config: ConfigDict, scheme: str, network: str) -> None:
    """A VGG; Adam, and SGD to fine-tune; at most so many epochs, fewer by early stopping."""
    big = network == "vgg16"
    own = config.method
    own.backbone = composites.vgg16() if big else composites.slim()
    own.update({"head": (2048,) if big else (256,), "max_norm": 2.0, "dropout": 0.5})
    own.test_time_augmentation = 1
    own.view = parts.galaxy_view(32, rotate=False, flip=not big, shift=0.0 if big else 1.0)
    own.stretch = (
        parts.linear_stretch(1.0, 1.0, 1.0) if big else parts.linear_stretch(0.25, 0.25, 0.25)
    )
    config.epochs = {"scratch": 200.0, "features": 100.0, "top": 10.0, "finetune": 200.0}[scheme]
    optimizer = parts.adamw(weight_decay=0.0, name="adam")
    if scheme == "finetune":
        optimizer = parts.sgd(weight_decay=0.0)
    optimise(config, scheme, optimizer, {"name": "constant", "peak_value": 1e-4 if big else 1e-3})
    if big:
        config.optim.clip_norm = None
    if scheme != "top":
        config.monitor = parts.monitor(every_epochs=1.0, examples=5000, patience=10)


def residual(config: ConfigDict, scheme: str, stem: str) -> None:
    """A residual network; AdamW with a cosine over a fixed number of epochs."""
    own = config.method
    own.backbone = composites.resnet(stem)
    own.update({"head": (), "max_norm": None, "dropout": 0.0, "test_time_augmentation": 4})
    own.view = parts.galaxy_view(64, zoom=(0.9, 1.15), shift=2.0)
    own.stretch = parts.linear_stretch(1.0, 1.0, 1.0)
    config.epochs = {"scratch": 80.0, "features": 40.0, "top": 10.0, "finetune": 80.0}[scheme]
    config.batch_size = 64
    schedule = parts.cosine(peak_value=1e-3, warmup_epochs=2.0)
    optimise(config, scheme, parts.adamw(weight_decay=0.05), schedule)


def optimise(config: ConfigDict, scheme: str, optimizer: dict, schedule: dict) -> None:
    still = scheme in ("features", "top")
    config.method.train_backbone = not still
    config.optim = parts.optim(optimizer, schedule, frozen=("backbone",) if still else ())


def weights(scheme: str, network: str, *, imagenet: bool) -> dict | None:
    """Where the weights come from; those to fine-tune have a trained top."""
    if scheme == "scratch":
        return None
    if imagenet and scheme != "finetune":
        section = {"name": "torch", "path": "vgg16-397923af.pth", "arch": "torchvision/vgg16"}
        return {**section, "part": "backbone", "stem": None}
    taken = {"backbone": "backbone"}
    if scheme == "finetune":
        taken["head"] = "head"
    return {"name": "run", "workdir": PRETEXT[network], "parts": taken, "stem": None}


def make_small(config: ConfigDict) -> None:
    composites.smoke(config)
    config.epochs = 2.0
    config.evaluate.classification.n_bootstrap = 10
    if config.method.backbone.get("batch_norm"):  # the slim VGG
        config.method.backbone = composites.tiny()
        config.method.head = (32,)


def name_of(task: str, network: str, scheme: str, imagenet: bool, smoke: bool) -> str:
    words = {task: task != "survey", network: network != usual_network(task), scheme: True}
    words |= {"imagenet": imagenet, "smoke": smoke}
    return "_".join(word for word, named in words.items() if named)


VARIANTS = {"": {}, "smoke": {"smoke": True}} | {
    name_of(task, network, scheme, imagenet, smoke): {
        "scheme": scheme,
        "task": task,
        "network": network,
        "imagenet": imagenet,
        "smoke": smoke,
    }
    for task, network, scheme, imagenet, smoke in itertools.product(
        TASKS, PRETEXT, SCHEMES, (False, True), (False, True)
    )
    if not imagenet or (network == "vgg16" and scheme != "scratch")
}
