# SPDX-License-Identifier: Apache-2.0
r"""Self-Classifier: classes of galaxies, or of anything, that nobody labelled.

    python -m astrojax.main --config experiments/self_classifier.py          # simulated, 2 cores
    python -m astrojax.main --config experiments/self_classifier.py:smoke    # seconds
    python -m astrojax.main --config experiments/self_classifier.py:galaxy_zoo \
        --config.data.path=galaxy_zoo.npz
    python -m astrojax.main --config experiments/self_classifier.py:cifar10 \
        --config.data.path.train=train.npz --config.data.path.test=test.npz

Galaxies and scores are those of `shared/morphology.py`, as in `lejepa.py` and `ijepa.py`; what
differs is here: the method, its views, the optimizer and the length, and clusters are scored.

Variants:
- default: simulated galaxies of seven classes on 64 x 64 pixels, a small ResNet, three times as
  many clusters as classes, and views that suit galaxies: turns, mirrors, zooms, noise and blur, as
  greyscale and hue would erase the color, and crops of a fifth the galaxy.
- `smoke`: the same in seconds, for continuous integration.
- `galaxy_zoo`: the same network on labelled RGB composites, an NPZ file with `blob`, `offsets`,
  `labels` and `class_names` (see `astrojax/data/readers/npz.py`). After 8 epochs
  (--config.epochs=8) the clusters of 5,318 galaxies have NMI 0.084 +- 0.007 with the classes
  (three seeds).
- `cifar10`: the paper's recipe (first version): ResNet-18 with a 3 x 3 stem, 30 classes, 30 heads,
  SGD at a rate of 3.2, batch 256, 800 epochs, for one accelerator. The paper has NMI 0.607, ARI
  0.518 and AMI 0.605 on the test set at the last epoch.
- `cifar10_small`: the same classes and loss on 5,000 of the images with a small network, 40 epochs,
  2 cores; --config.data.path=train.npz, which is divided by the hash of the row. It keeps a
  checkpoint every 2 epochs, for `experiments/studies/self_classifier_curve.py`. In 13 minutes on
  one core NMI reaches 0.153 +- 0.003 (k-means on pixels: 0.100) and ARI 0.083 (0.031); one seed.
- `cifar20`: the same with 60 classes on CIFAR-100 and its 20 superclasses: NPZ files with `images`
  [n 32 32 3], the fine `labels` and their `class_names`. The paper: 0.383, 0.200, 0.374.
- `imagenet`: the paper's recipe on ImageNet as `tfds build imagenet2012` prepares it: ResNet-50,
  1,000 classes, 30 heads, LARC, batch 4,096, 800 epochs, for a pod. Images are resampled to squares
  of 256 pixels, while the authors cropped from the original. The paper: 0.647, 0.132, 0.462.
- `eccv`: the later version on ImageNet: multi-crop, learned classes, nearest neighbours; the rates
  are those of its 800 epochs (its shorter runs have 0.3, 4.8 and 0.0048).
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import morphology, run
from shared.data import info, npz, split


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=15.0, batch_size=128, checkpoint_every=200)
    config.monitor = parts.monitor(every_epochs=3.0, examples=500, knn_label="label")
    config.data = morphology.nearby(100)
    config.method = {
        "name": "self_classifier",
        # At CIFAR's 0.3 only half of the classes are used after as few steps as these.
        "version": {"name": "2021", "temperature": 0.1, "normalize_rows": True},
        "backbone": parts.resnet(depths=(1, 1, 1)),
        "mlp": (256, 256, 64),
        "mlp_norm": True,
        "classes": (21,) * 15,
        "classifier": "fixed",
        "view": parts.galaxy_view(64, zoom=(0.9, 1.2), shift=3.0, noise=0.5, blur=(0.0, 0.8)),
        "offset": (0.0, 0.0, 0.0),
        "stretch": morphology.STRETCH,
    }
    schedule = parts.cosine(peak_value=0.4, warmup_epochs=0.0, init_value=0.4, end_value=0.004)
    changed = {"decay_bias_and_norm": True, "clip_norm": None}
    config.optim = parts.optim(parts.sgd(weight_decay=1e-6), schedule, **changed)
    config.evaluate = {
        "clustering": {"clusters": 21, "n_bootstrap": 200, "seed": 0},
        "knn": parts.knn(),
        "linear_probe": parts.linear_probe(),
        "projection": parts.projection("tsne"),
        "explorer": parts.explorer(),
    }
    return config


def rate(config: ConfigDict, peak: float) -> None:
    """Sets a rate that begins at its peak and falls to a hundredth."""
    config.optim.schedule.update({"peak_value": peak, "init_value": peak, "end_value": peak / 100})


def smoke(config: ConfigDict) -> None:
    morphology.smoke(config)
    config.method.backbone.update({"depths": (1, 1), "width": 8})
    config.method.update({"mlp": (32, 16), "classes": (10,) * 3})
    config.method.view.update({"crop": 24, "shift": 1.0})
    rate(config, 0.1)
    config.evaluate.clustering.update({"clusters": 10, "n_bootstrap": 20})


def galaxy_zoo(config: ConfigDict) -> None:
    config.threads = 2
    config.data = morphology.galaxy_zoo(100)
    config.method.view.noise = 0.0
    config.method.stretch = parts.linear_stretch(0.2, 0.2, 0.2)


def cifar10(config: ConfigDict) -> None:
    config.update({"epochs": 800.0, "batch_size": 256, "threads": 8})
    config.update({"log_every": 195, "checkpoint_every": 1950})
    config.monitor = None  # the paper trains on everything and takes the last epoch
    config.data = npz(
        {"train": "train.npz", "test": "test.npz"},
        columns={"image": "blob", "label": "labels"},
        class_names="class_names",
        info=info(("red", "green", "blue")),
        split=None,
    )
    own = config.method
    own.backbone.update({"depths": (2, 2, 2, 2), "stem": "cifar", "width": 64, "dtype": "bfloat16"})
    own.version.temperature = 0.3
    own.classes = (30,) * 30
    own.view = parts.natural_view(32, scale=(0.2, 1.0))
    own.offset = (0.4914, 0.4822, 0.4465)
    own.stretch = parts.linear_stretch(0.247, 0.243, 0.261)
    rate(config, 3.2)
    config.evaluate = {"clustering": {"clusters": 30, "n_bootstrap": 200, "seed": 0}}


def cifar10_small(config: ConfigDict) -> None:
    config.update({"epochs": 40.0, "batch_size": 128, "threads": 2})
    config.update({"log_every": 40, "checkpoint_every": 78, "keep": 100})
    del config.data.path  # a ConfigDict keeps the type of a key
    config.data.path = "train.npz"
    config.data.split = split(0.8, 0.05, 0.15)
    config.data.labels = {"column": "label", "count": 5000, "drop_unlabelled": True, "seed": 0}
    config.method.backbone = parts.resnet(depths=(1, 1, 1))
    rate(config, 1.6)


def cifar20(config: ConfigDict) -> None:
    config.data.columns.image = "images"
    config.data.classes = tuple((k, tuple(v.split())) for k, v in SUPERCLASSES.items())
    config.method.classes = (60,) * 30
    config.method.offset = (0.5071, 0.4867, 0.4408)
    config.method.stretch.scale = (0.2675, 0.2565, 0.2761)
    config.evaluate.clustering.clusters = 60


def imagenet(config: ConfigDict) -> None:
    config.update({"epochs": 800.0, "batch_size": 4096, "threads": 32})
    config.update({"log_every": 50, "checkpoint_every": 1560})
    config.monitor = None
    config.data = {
        "name": "tfds",
        "directory": "~/tensorflow_datasets",
        "dataset": "imagenet2012",
        "splits": {"train": "train", "validation": None, "test": "validation"},
        "crop": None,
        "resize": 256,
    }
    own = config.method
    own.version.normalize_rows = False
    own.backbone.update({"depths": (3, 4, 6, 3), "block": "bottleneck"})
    own.backbone.update({"width": 64, "dtype": "bfloat16"})
    own.mlp = (4096, 4096, 128)
    own.classes = (1000,) * 30
    own.view = parts.natural_view(224, scale=(0.2, 1.0))
    own.offset = (0.485, 0.456, 0.406)
    own.stretch = parts.linear_stretch(0.229, 0.224, 0.225)
    # The authors' LARC scales and decays biases and norms as well.
    larc = {"name": "larc", "weight_decay": 1e-4, "momentum": 0.9, "trust": 0.001}
    config.optim.optimizer = larc
    config.optim.schedule = parts.cosine(
        peak_value=3.2, warmup_epochs=10.0, init_value=0.2, end_value=0.0032
    )
    config.evaluate = {"clustering": {"clusters": 0, "n_bootstrap": 200, "seed": 0}}


def eccv(config: ConfigDict) -> None:
    def view(crop: int, scale: tuple, *, blur: float, solarize: float = 0.0) -> dict:
        changed = {"blur_probability": blur, "solarize_probability": solarize}
        changed |= {"saturation": 0.2, "interpolation": "bicubic"}
        return parts.natural_view(crop, scale=scale, **changed)

    own = config.method
    # The first view, which its neighbour replaces, is hardly blurred; the second always is.
    own.view = ConfigDict(view(224, (0.4, 1.0), blur=0.1))
    own.version = {
        "name": "2022",
        "row_temperature": 0.1,
        "column_temperature": 0.05,
        "eps": 1e-12,
        "second_view": view(224, (0.4, 1.0), blur=1.0, solarize=0.2),
        "local_view": view(96, (0.05, 0.4), blur=0.5),
        "local_views": 6,
        "queue_size": 262144,
    }
    own.update({"mlp": (4096, 128), "classes": (1000, 2000, 4000, 8000)})
    own.classifier = "weight_norm"
    config.optim.optimizer.weight_decay = 1e-6


VARIANTS = {
    "": (),
    "smoke": (smoke,),
    "galaxy_zoo": (galaxy_zoo,),
    "cifar10": (cifar10,),
    "cifar10_small": (cifar10, cifar10_small),
    "cifar20": (cifar10, cifar20),
    "imagenet": (imagenet,),
    "eccv": (imagenet, eccv),
}

# Superclasses of CIFAR-100 (Krizhevsky 2009) with their fine classes.
SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
