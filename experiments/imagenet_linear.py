# SPDX-License-Identifier: Apache-2.0
r"""Frozen features on ImageNet: Self-Classifier's Table 1 (linear) and Table 3 (neighbours).

    python -m astrojax.main --config experiments/imagenet_linear.py
    python -m astrojax.main --config experiments/imagenet_linear.py:torchvision \
        --config.init.path=resnet50-0676ba61.pth

A linear layer on the pooled features of a ResNet-50 that stays as it is: LARS at 0.8 without decay,
batch 4,096, 100 epochs of a cosine, random crops and mirrors, as in the paper's section 7.4. The
report has the accuracy on ImageNet's validation images, and that of a vote of the 20 nearest
training images (--config.evaluate.knn.k="(200,)" for 200). The last hundredth of the training
images is left to the evaluation, which asks for a validation split.

- default: the backbone of `experiments/self_classifier.py:imagenet`, in
  `runs/self_classifier_imagenet`. The paper: 69.7% for 800 epochs, 66.3% for 100 (the base of its
  ablations), 60.1% and 55.5% for the neighbours.
- `torchvision`: weights in torchvision's layout, the supervised ones (76.5% in the paper) or those
  of a rival that were brought to it.

Images are as `tfds build imagenet2012` prepares them, resampled to squares of 256 pixels. The
paper's vote goes by the inverse of the distance, ours by the cosine; its top-5 accuracy is not
computed. For several accelerators; not run at this size.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=100.0, batch_size=4096, threads=32, checkpoint_every=1000)
    config.data = {
        "name": "tfds",
        "directory": "~/tensorflow_datasets",
        "dataset": "imagenet2012",
        "splits": {"train": "train[:99%]", "validation": "train[99%:]", "test": "validation"},
        "crop": None,
        "resize": 256,
    }
    crops = {"jitter_probability": 0.0, "grey_probability": 0.0, "blur_probability": 0.0}
    config.method = {
        "name": "supervised",
        "backbone": parts.resnet(
            depths=(3, 4, 6, 3), block="bottleneck", width=64, dtype="bfloat16"
        ),
        "backbone_outputs": None,
        "neck": (),
        "head": (),
        "mlp_init": "lecun_normal",
        "target": "label",
        "outputs": 1000,
        "error": "cross_entropy",
        "huber_delta": 1.0,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
        "dropout": 0.0,
        "max_norm": None,
        "train_backbone": False,
        "test_time_augmentation": 1,
        "view": parts.natural_view(224, scale=(0.08, 1.0), **crops),
        "stretch": {"name": "imagenet", "scale": (1.0, 1.0, 1.0)},
    }
    lars = {"name": "lars", "weight_decay": 0.0, "momentum": 0.9, "trust": 0.001}
    schedule = parts.cosine(peak_value=0.8, warmup_epochs=0.0, init_value=0.8, end_value=0.0)
    changed = {"decay_bias_and_norm": True, "frozen": ("backbone",), "clip_norm": None}
    config.optim = parts.optim(lars, schedule, **changed)
    workdir = "runs/self_classifier_imagenet"
    config.init = {"name": "run", "workdir": workdir, "parts": {"backbone": "backbone"}}
    config.init.stem = None
    config.evaluate = {
        "classification": {"n_bootstrap": 200, "seed": 0},
        "knn": {**parts.knn(), "k": (20,)},
    }
    return config


def torchvision(config: ConfigDict) -> None:
    section = {"name": "torch", "path": "resnet50-0676ba61.pth", "arch": "torchvision/resnet50"}
    config.init = ConfigDict({**section, "part": "backbone", "stem": None})


VARIANTS = {"": (), "torchvision": (torchvision,)}
