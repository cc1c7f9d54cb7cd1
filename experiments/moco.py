# SPDX-License-Identifier: Apache-2.0
r"""MoCo pretraining and fine-tuning on redshift, PITA's third baseline, in two stages.

    python -m astrojax.main --config experiments/moco.py
    python -m astrojax.main --config experiments/moco.py:finetune
    python -m astrojax.main --config experiments/moco.py:paper --config.data.path=candels.h5
    python -m astrojax.main --config experiments/moco.py:paper_finetune \
        --config.data.path=candels.h5

The first differs from `experiments/pita.py` by its method, which has the contrastive loss alone;
the galaxies, encoder, views and optimizer are those of `shared/photoz.py`. The second starts from
the encoder in `runs/moco` (--config.init.workdir=... for another) and is
`experiments/photoz_supervised.py` in everything else. `:smoke` and `:finetune_smoke` are the same
in seconds.

`paper` and `paper_finetune` are the two stages on CANDELS. The authors' code of the first is not
public: network, queue, optimizer and length are those of `pita.py:paper`, and the second is
`photoz_supervised.py:paper`, from its encoder. The evaluation of the first has the planes of the
paper's Figure 4. For an accelerator; not run at this size.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import photoz, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(ConfigDict(), run.choose(VARIANTS, variant, __file__))


def pretrain(config: ConfigDict) -> None:
    config.update(parts.start(epochs=42.0, batch_size=128))
    config.data = photoz.data()
    config.method = {
        "name": "moco",
        "backbone": photoz.backbone(),
        "backbone_outputs": None,
        "latent": (256, 128),
        "projection": (128, 64),
        "mlp_init": "lecun_normal",
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
    taken = {"backbone": "encoder/backbone", "neck": "encoder/mlp"}
    config.init = {"name": "run", "workdir": "runs/moco", "parts": taken, "stem": None}
    del config.evaluate.uncertainty


def finetune_smoke(config: ConfigDict) -> None:
    photoz.smoke_supervised(config)
    config.init.workdir = "runs/moco_smoke"


def paper(config: ConfigDict) -> None:
    config.update({"epochs": 1550.0, "batch_size": 1024})
    config.data = photoz.candels()
    photoz.paper(config)
    config.method.update({"latent": (512, 128), "queue_size": 60_000, "momentum": 0.999})
    config.optim = photoz.adam(photoz.annealing())
    config.evaluate = photoz.evaluate("projection")
    photoz.evaluate_paper(config)


def paper_finetune(config: ConfigDict) -> None:
    photoz.paper_supervised(config)
    config.init.workdir = "runs/moco_paper"


VARIANTS = {
    "": (pretrain,),
    "smoke": (pretrain, smoke),
    "finetune": (finetune,),
    "finetune_smoke": (finetune, finetune_smoke),
    "paper": (pretrain, paper),
    "paper_finetune": (finetune, paper_finetune),
}
