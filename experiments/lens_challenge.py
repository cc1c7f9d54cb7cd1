# SPDX-License-Identifier: Apache-2.0
r"""Einstein radii of the Lens Finding Challenge from 1,000 labels, LenSiam's downstream task.

    python -m astrojax.main --config experiments/lens_challenge.py \
        --config.data.path=Public --config.data.catalogue=image_catalog2.0train.csv
    python -m astrojax.main --config experiments/lens_challenge.py:imagenet \
        --config.data.path=Public --config.data.catalogue=image_catalog2.0train.csv \
        --config.init.path=resnet101-63fe2227.pth

The data are those of the second challenge (Metcalf et al. 2019) as they are unpacked: the folder
with EUC_H, EUC_J and EUC_Y, which are the three bands here as in the authors' notebooks, and the
catalogue. Lenses that one can see are taken; of those for training 1,000 keep their label, and all
lenses of the last tenth are the test. The radius is the circularised one in arcsec, which the
authors have without 1 / sqrt(pi): R2 does not depend on that.

A ResNet-101 is fine-tuned, all of it, on images resampled to 224 pixels. The paper does not say
how: optimizer and length are those of the nearest program that its authors published (Lens_Finder:
Adam at 1e-4, batch 30, 200 epochs), and the best epoch on the validation lenses is kept.

Variants say what it starts from; the paper has an R2 of 0.586, 0.426 and 0.360 for the first three.
- default: `runs/lensiam_paper`, the run of `experiments/lensiam.py:paper`;
- `simsiam`: `runs/simsiam_lenses_paper`;
- `imagenet`: torchvision's ResNet-101, a file which you download yourself;
- `scratch`: nothing.

For an accelerator; not run at this size. A smaller comparison of the same four starts that needs no
data is `experiments/studies/lensiam_transfer.py`.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import run
from shared.data import split


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=200.0, batch_size=30, threads=8, checkpoint_every=200)
    config.monitor = parts.monitor(every_epochs=1.0, examples=1000, patience=30)
    config.data = {
        "name": "lens_challenge",
        "path": "Public",
        "fetch": "download datapack2.0train.tar.gz and image_catalog2.0train.csv of the Strong "
        "Lens Finding Challenge (metcalf1.difa.unibo.it), unpack it, and pass --config.data.path "
        "and --config.data.catalogue",
        "catalogue": "image_catalog2.0train.csv",
        "bands": ("H", "J", "Y"),
        "factors": (1e9, 1e9, 1e9),
        # A source with several images, magnified, on enough pixels: lenses that one can see.
        "select": {
            "ein_area": (1e-13, 1.0),
            "n_source_im": (1, 99),
            "mag_eff": (1.6, 1e9),
            "n_pix_source": (20, 1e9),
        },
        "missing": "drop",
        "crop": None,
        "resize": 224,
        "bad_pixels": "error",
        "split": split(0.8, 0.1, 0.1),
        "labels": {"column": "theta_E", "count": 1000, "drop_unlabelled": True, "seed": 0},
    }
    config.method = {
        "name": "supervised",
        "backbone": parts.resnet(
            depths=(3, 4, 23, 3), block="bottleneck", width=64, dtype="bfloat16"
        ),
        "backbone_outputs": None,
        "neck": (),
        "head": (),
        "mlp_init": "torch_uniform",
        "target": "theta_E",
        "outputs": 1,
        "error": "squared",
        "huber_delta": 1.0,
        "target_offset": (1.0,),
        "target_scale": (0.5,),
        "class_weights": None,
        "dropout": 0.0,
        "max_norm": None,
        "train_backbone": True,
        "test_time_augmentation": 4,
        "view": parts.galaxy_view(224, rotate=False),
        "stretch": parts.linear_stretch(1.0, 1.0, 1.0),
    }
    schedule = {"name": "constant", "peak_value": 1e-4}
    adam = parts.adamw(weight_decay=0.0, name="adam")
    config.optim = parts.optim(adam, schedule, clip_norm=None)
    # Pretrained on one band, whose filter each of the three gets in part.
    taken = {"backbone": "backbone"}
    config.init = {"name": "run", "workdir": "runs/lensiam_paper", "parts": taken, "stem": "mean"}
    config.evaluate = {
        "regression": {"targets": ("theta_E",), "n_bootstrap": 200, "seed": 0},
        "projection": parts.projection("auto", columns_shown=("theta_E",)),
    }
    return config


def simsiam(config: ConfigDict) -> None:
    config.init.workdir = "runs/simsiam_lenses_paper"


def imagenet(config: ConfigDict) -> None:
    section = {"name": "torch", "path": "resnet101-63fe2227.pth", "arch": "torchvision/resnet101"}
    config.init = ConfigDict({**section, "part": "backbone", "stem": None})


def scratch(config: ConfigDict) -> None:
    config.init = None


VARIANTS = {"": (), "simsiam": (simsiam,), "imagenet": (imagenet,), "scratch": (scratch,)}
