# SPDX-License-Identifier: Apache-2.0
"""Magnitudes as a pretext task: a composite in, the magnitudes of twelve bands out.

    python -m astrojax.main --config experiments/magnitudes.py            # embedded survey, 2 cores
    python -m astrojax.main --config experiments/magnitudes.py:smoke      # seconds
    python -m astrojax.main --config experiments/magnitudes.py:vgg16      # the paper's network
    python -m astrojax.main --config experiments/magnitudes.py:pool --config.data.path=pool.npz
    python -m astrojax.main --config experiments/magnitudes.py:paper --config.data.table=splus.cat

Variants:
- default: simulated stars, galaxies, quasars and mergers in the twelve bands of S-PLUS, all
  uncertainties at most 0.1 mag, as 32 x 32 composites; a slim VGG, for a laptop.
- `smoke`: the same in seconds, for continuous integration.
- `vgg16`: the embedded survey and the paper's VGG16 with 2048 units, for an accelerator.
- `flux`: the default on the twelve bands themselves instead of a composite.
- `pool`: composites of galaxies with magnitudes measured on them, an NPZ archive written by
  `experiments/studies/pool_photometry.py`; the residual network of `experiments/transfer.py`.
- `small_pool`: the same with its smaller network, for 2 cores.
- `paper`: the published recipe on S-PLUS DR1 as it is distributed: the catalogue of Stripe 82
  with its own column names, and a folder `cutouts` of 32 x 32 color pictures <ID>.png. Objects of
  `splus_classes.csv`, the tasks SG and SGQ of `experiments/transfer.py`, are left out by id and
  within 1 arcsec. VGG16, SGD at 1e-3, no augmentation. The momentum of 0.9 is that of the authors'
  code; the paper gives none, nor a length. For an accelerator; not run at this size. The paper has
  a mean absolute error of 0.0034, which is 0.10 mag.

`experiments/transfer.py` goes on from here, with the images and networks of `shared/composites.py`.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import composites, run
from shared.data import npz


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=20.0, batch_size=64, log_every=50, checkpoint_every=200, keep=1)
    config.monitor = parts.monitor(every_epochs=1.0, examples=1000, patience=10)
    config.data = composites.splus(count=6000, test=1000, max_magnitude_error=0.1)
    config.method = {
        "name": "magnitudes",
        "backbone": composites.slim(),
        "hidden": 256,
        "negative_slope": 0.0,
        "max_norm": 2.0,
        "dropout": 0.0,  # 0.5 with the paper's 2048 units; here it would cost half the network
        "outputs": 12,
        "divisor": 30.0,
        "start": 17.5,
        # Mirror images leave magnitudes as they are. Zooms would not, nor do shifts by parts of a
        # pixel: they blunt the peaks, and what is seen without them comes out 0.04 mag too bright.
        "view": parts.galaxy_view(32, rotate=False),
        "stretch": parts.linear_stretch(0.25, 0.25, 0.25),
    }
    schedule = parts.cosine(peak_value=2e-3, warmup_epochs=0.5)
    config.optim = parts.optim(parts.adamw(weight_decay=1e-4), schedule)
    probe = {"penalties": (1e-3, 1e-2, 1e-1, 1.0), "max_iterations": 200, "n_bootstrap": 100}
    plane = {"columns_shown": ("magnitude_r", "color_g_F515"), "perplexity": 50.0, "mosaic": 0}
    config.evaluate = {
        "regression": {"targets": ("magnitude",), "n_bootstrap": 100, "seed": 0},
        "linear_probe": parts.linear_probe(**probe),
        "projection": parts.projection("tsne", **plane),
    }
    return config


def smoke(config: ConfigDict) -> None:
    composites.smoke(config)
    config.epochs = 3.0
    config.method.backbone = composites.tiny()
    config.method.hidden = 32
    config.optim.schedule.warmup_epochs = 1.0
    config.evaluate.regression.n_bootstrap = 10
    few = {"penalties": (1e-2,), "max_iterations": 20, "n_bootstrap": 10}
    config.evaluate.linear_probe.update(few)


def flux(config: ConfigDict) -> None:
    config.data.composite = None
    config.method.stretch = parts.asinh_stretch(*(2.0,) * 12)


def vgg16(config: ConfigDict) -> None:
    config.update({"epochs": 60.0, "batch_size": 128, "log_every": 100, "checkpoint_every": 1000})
    config.data.update({"count": 60000, "validation": 2000, "test": 4000})
    config.method.backbone = composites.vgg16()
    config.method.update({"hidden": 2048, "dropout": 0.5})
    config.method.stretch.scale = (1.0, 1.0, 1.0)
    # The paper's SGD at 1e-3 does not start a VGG16 without batch norm or published weights.
    config.optim.schedule.update({"peak_value": 2e-4, "warmup_epochs": 2.0})


def pool(config: ConfigDict) -> None:
    config.update({"epochs": 40.0, "batch_size": 128})
    measured = {"magnitude": "magnitude", "magnitude_error": "magnitude_error"}
    columns = {"image": "blob", "id": "ids", **measured}
    config.data = npz("pool.npz", columns=columns, resize=64, cache_in_memory=True)
    config.method.backbone = composites.resnet("cifar")
    config.method.update({"outputs": 3, "start": 12.0})
    config.method.view.update({"crop": 64, "rotate": True, "shift": 2.0})
    config.method.stretch.scale = (1.0, 1.0, 1.0)
    config.optim.schedule.update({"peak_value": 1e-3, "warmup_epochs": 2.0})
    del config.evaluate["linear_probe"]
    config.evaluate.projection.columns_shown = ("magnitude_r",)


def small(config: ConfigDict) -> None:
    config.method.backbone = composites.resnet("imagenet")


def paper(config: ConfigDict) -> None:
    config.update({"epochs": 200.0, "batch_size": 32, "threads": 8})
    config.monitor.examples = 20000
    names = ("uJAVA", *composites.BANDS[1:])
    columns = {
        "id": "ID",
        "ra": "RA",
        "dec": "Dec",
        "magnitude": tuple(f"{band}_auto" for band in names),
        "magnitude_error": tuple(f"e{band}_auto" for band in names),
    }
    config.data = composites.catalogue(
        "splus.cat",
        columns,
        # From 0: the sentinel of an error is negative and would pass a limit from above alone.
        select={f"e{band}_auto": (0.0, 0.1) for band in names},
        sentinels={"magnitude": (-99.0, 99.0)},
        exclude={
            "data": composites.spectroscopic(split=None),
            "radius_arcsec": 1.0,
            "found": "drop",
        },
    )
    config.method.view = parts.galaxy_view(32, rotate=False, flip=False)  # nothing is changed
    config.method.stretch.name = "imagenet"
    config.optim.optimizer = parts.sgd(weight_decay=0.0, nesterov=True)
    config.optim.clip_norm = None
    config.optim.schedule = {"name": "constant", "peak_value": 1e-3}
    del config.evaluate["linear_probe"]
    config.evaluate.projection.columns_shown = ("magnitude_r_auto", "color_g_auto_F515_auto")


VARIANTS = {
    "": (),
    "smoke": (smoke,),
    "flux": (flux,),
    "vgg16": (vgg16,),
    "pool": (pool,),
    "small_pool": (pool, small),
    "paper": (vgg16, paper),
}
