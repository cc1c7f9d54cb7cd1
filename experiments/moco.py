# SPDX-License-Identifier: Apache-2.0
"""MoCo pretraining and fine-tuning on redshift, PITA's third baseline, in two stages.

    python -m astrojax.main --config experiments/moco.py
    python -m astrojax.main --config experiments/moco.py:finetune

The first differs from `experiments/pita.py` by its method, which has the contrastive loss alone;
the galaxies, encoder, views and optimizer are those of `shared/photoz.py`. The second starts from
the encoder in `runs/moco` (--config.init.workdir=... for another) and is
`experiments/photoz_supervised.py` in everything else. `:smoke` and `:finetune_smoke` are the same
in seconds.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import photoz, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(ConfigDict(), run.choose(VARIANTS, variant, __file__))


def pretrain(config: ConfigDict) -> None:
    config.update(run.start(epochs=42.0, batch_size=128))
    config.data = photoz.data()
    config.method = {
        "name": "moco",
        "backbone": photoz.backbone(),
        "backbone_outputs": None,
        "latent": (256, 128),
        "projection": (128, 64),
        "queue_size": 4096,
        "momentum": 0.99,
        "temperature": 0.1,
        "view": photoz.view(),
        "stretch": photoz.STRETCH,
    }
    config.optim = photoz.optim(warmup_epochs=0.5)
    config.evaluate = {}


def smoke(config: ConfigDict) -> None:
    photoz.smoke(config)
    config.method.update({"latent": (16, 16), "projection": (16, 8), "queue_size": 64})


def finetune(config: ConfigDict) -> None:
    config.update(photoz.supervised())
    parts = {"backbone": "encoder/backbone", "neck": "encoder/mlp"}
    config.init = {"name": "run", "workdir": "runs/moco", "parts": parts, "stem": None}
    del config.evaluate.uncertainty


def finetune_smoke(config: ConfigDict) -> None:
    photoz.smoke_supervised(config)
    config.init.workdir = "runs/moco_smoke"


VARIANTS = {
    "": (pretrain,),
    "smoke": (pretrain, smoke),
    "finetune": (finetune,),
    "finetune_smoke": (finetune, finetune_smoke),
}
