# SPDX-License-Identifier: Apache-2.0
"""LenSiam: features of strong lenses from pairs that share the lens and nothing else.

    python -m astrojax.main --config experiments/lensiam.py            # 44 x 44 pixels, 2 cores
    python -m astrojax.main --config experiments/lensiam.py:smoke      # seconds
    python -m astrojax.main --config experiments/lensiam.py:paper      # one or more accelerators

Pairs are simulated inside the training step, so no two steps see the same image. The evaluation
measures how much of each of the eight lens parameters the frozen features hold.

`experiments/simsiam_lenses.py` differs by its views alone; all else is in `shared/lenses.py`.

Variants:
- default: the paper's lenses and field of 5.5 arcsec on 44 x 44 pixels, a small ResNet, and an
  asinh stretch, without which faint arcs vanish beside the lens galaxy.
- `smoke`: the same in seconds, for continuous integration.
- `paper`: 100,000 lenses on 110 x 110 pixels resampled to 224, ResNet-101, batch 400, a rate of
  0.03 x batch / 256 for 800 epochs; pixels as they are. Of the sources 75% are real galaxies of
  COSMOS, `cosmos_stamps.npy` as `experiments/studies/cosmos_stamps.py` makes it from the public
  catalogues, and 25% core-Sersic profiles. Not run at this size.
- `paper_analytic`: the same without real galaxies, for those who have no such file.

`experiments/lens_challenge.py` fine-tunes the result on the Lens Finding Challenge.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import lenses, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    return lenses.base(view=None)  # the two images of a pair differ as the simulator has it


VARIANTS = {
    "": (),
    "smoke": (lenses.smoke,),
    "paper": (lenses.paper,),
    "paper_analytic": (lenses.paper, lenses.analytic),
}
