# SPDX-License-Identifier: Apache-2.0
"""SimSiam with everyday augmentations on the lenses of `experiments/lensiam.py`: its baseline.

    python -m astrojax.main --config experiments/simsiam_lenses.py            # 2 cores
    python -m astrojax.main --config experiments/simsiam_lenses.py:smoke      # seconds
    python -m astrojax.main --config experiments/simsiam_lenses.py:paper

The two views are one new simulated image of a lens, cropped, mirrored, jittered and blurred twice;
all else is as in `experiments/lensiam.py`, variant by variant, the heads too. Hue, saturation and
greyscale have nothing to act on in one band. Negative noise is clipped by the jitter to zero, where
the authors of LenSiam let it wrap round to white.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import lenses, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    one_band = {"saturation": 0.0, "hue": 0.0, "grey_probability": 0.0}
    # 0.1 to 2 pixels of the authors' 224, in pixels of 44.
    blur = {"blur_sigma": (0.02, 0.4)}
    return lenses.base(view=parts.natural_view(44, scale=(0.2, 1.0), **one_band, **blur))


def smoke(config: ConfigDict) -> None:
    config.method.view.crop = 24


def paper(config: ConfigDict) -> None:
    config.method.view.update({"crop": 224, "blur_sigma": (0.1, 2.0)})


VARIANTS = {
    "": (),
    "smoke": (lenses.smoke, smoke),
    "paper": (lenses.paper, paper),
    "paper_analytic": (lenses.paper, paper, lenses.analytic),
}
