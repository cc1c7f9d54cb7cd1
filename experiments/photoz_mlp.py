# SPDX-License-Identifier: Apache-2.0
r"""The photometry MLP on four magnitudes, PITA's traditional baseline.

    python -m astrojax.main --config experiments/photoz_mlp.py
    python -m astrojax.main --config experiments/photoz_mlp.py:density
    python -m astrojax.main --config experiments/photoz_mlp.py:smoke
    python -m astrojax.main --config experiments/photoz_mlp.py:paper \
        --config.data.path=candels.h5

Galaxies, optimizer and scores are those of `shared/photoz.py`, as in `pita.py`; what differs is
that it sees magnitudes instead of images, and only galaxies with a redshift.

`density` predicts five Gaussians instead of a number, and stops where the validation split is
most likely: trained to the end, densities are too narrow (with
`--config.method.redshift_components=5` on the default, 68% intervals hold 0.546 +- 0.016 of 1,000
test galaxies). Three of its runs (`--config.seed=0`, 1, 2) have a CRPS of 0.0883, 0.0912 and
0.0874, each +- 0.003, and NMAD 0.070, 0.075 and 0.067; their 68% intervals hold 0.666, 0.663 and
0.676, each +- 0.015, their 95% intervals 0.933, 0.957 and 0.924, each +- 0.008. The mean density
of the three,

    astrojax evaluate --workdir RUN_0 RUN_1 RUN_2 --out runs/ensemble

has a CRPS of 0.0864 +- 0.0027, and its intervals hold 0.690 +- 0.015 and 0.963 +- 0.006.

`paper` has the CANDELS galaxies, the split and the training of `photoz_supervised.py:paper`. The
widths of the authors' MLP are in neither their text nor their code: those of their redshift head
stand for it. Not run at this size.

The report also has the template fit that knows the simulator's spectra, dust and noise: the limit
of what photometry alone can give on the embedded survey.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import photoz, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=300.0, batch_size=128)
    config.data = photoz.data(labels=photoz.LABELLED)
    config.method = {
        "name": "photometry",
        "hidden": (256, 256, 256),
        "mlp_init": "lecun_normal",
        "offset": (25.4, 24.9, 24.3, 24.1),
        "scale": (2.0, 2.0, 2.0, 2.0),
        "missing": 30.0,
        "redshift_components": 0,
        "huber_delta": 0.15,
    }
    config.optim = photoz.optim(warmup_epochs=5.0)
    config.evaluate = photoz.evaluate("photoz", "uncertainty", "template_fit")
    return config


def density(config: ConfigDict) -> None:
    config.method.redshift_components = 5
    config.monitor = parts.monitor(every_epochs=5.0, examples=300, patience=8)


def smoke(config: ConfigDict) -> None:
    photoz.smoke(config)
    config.epochs = 10.0
    config.data.labelled_fraction = 0.5
    config.method.hidden = (16, 16)


def paper(config: ConfigDict) -> None:
    config.method.update({"hidden": (256, 128, 128, 128, 128, 64), "mlp_init": "torch_uniform"})
    photoz.paper_labelled(config)


VARIANTS = {"": (), "smoke": (smoke,), "density": (density,), "paper": (paper,)}
