# SPDX-License-Identifier: Apache-2.0
r"""The fully supervised ConvNeXt on redshift, PITA's second baseline.

    python -m astrojax.main --config experiments/photoz_supervised.py
    python -m astrojax.main --config experiments/photoz_supervised.py:smoke
    python -m astrojax.main --config experiments/photoz_supervised.py:paper \
        --config.data.path=candels.h5

PITA's encoder, latent and redshift head, with the Huber loss on the galaxies that have a redshift
and on nothing else: `supervised` of `shared/photoz.py`, where it stands for `moco.py` too. It takes
as many steps as the default of `experiments/pita.py`; measured beside it in `docs/results.md`.

`paper` is the authors' training on CANDELS: batch 4 x 128, Adam at a rate of 5e-4 that rises for
200 epochs and falls as a cosine over 900. (Their configuration asks for 100 and 500; their program
does not pass that on.) For an accelerator; not run at this size.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import photoz, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(photoz.supervised(), run.choose(VARIANTS, variant, __file__))


VARIANTS = {"": (), "smoke": (photoz.smoke_supervised,), "paper": (photoz.paper_supervised,)}
