# SPDX-License-Identifier: Apache-2.0
"""The fully supervised ConvNeXt on redshift, PITA's second baseline.

    python -m astrojax.main --config experiments/photoz_supervised.py
    python -m astrojax.main --config experiments/photoz_supervised.py:smoke

PITA's encoder, latent and redshift head, with the Huber loss on the galaxies that have a redshift
and on nothing else: `supervised` of `shared/photoz.py`, where it stands for `moco.py` too. It takes
as many steps as the default of `experiments/pita.py`.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import photoz, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(photoz.supervised(), run.choose(VARIANTS, variant, __file__))


VARIANTS = {"": (), "smoke": (photoz.smoke_supervised,)}
