# SPDX-License-Identifier: Apache-2.0
"""LeJEPA on galaxy morphology.

    python -m astrojax.main --config experiments/lejepa.py            # simulated galaxies, 2 cores
    python -m astrojax.main --config experiments/lejepa.py:smoke      # seconds
    python -m astrojax.main --config experiments/lejepa.py:pool --config.data.path=galaxies.npz
    astrojax evaluate --workdir runs/lejepa_pool \
        --config experiments/lejepa.py:galaxy_zoo --config.data.path=galaxy_zoo.npz
    python -m astrojax.main --config experiments/lejepa.py:paper   # needs Galaxy10_DECals.h5

Galaxies and scores are those of `shared/morphology.py`, as in `ijepa.py` and `self_classifier.py`;
what differs is here: the method, its views, the optimizer and the length.

Variants:
- default: simulated galaxies of seven classes, a ViT of 96 features on 64 x 64 pixels, two global
  and two local views that suit galaxies, for a laptop.
- `smoke`: the same in seconds, for continuous integration.
- `pool`: the default network on your own unlabelled RGB images, an NPZ file with `blob`, `offsets`
  and `ids` (see `astrojax/data/readers/npz.py`).
- `small_pool`: the same images and the small residual network of `experiments/transfer.py`, for
  transfer beside `experiments/magnitudes.py:small_pool`.
- `galaxy_zoo`: `pool` on labelled images, with `labels` and `class_names` besides. As above, its
  data and its evaluation serve a run that was trained on others.
- `paper`: the authors' guidance (weight 0.05, 1,024 directions, 2 global views of 224 and 6 local
  ones of 96 pixels) on Galaxy10 DECaLS with ConvNeXt-Tiny; `natural` is the same with the views
  of everyday images that the authors use.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

sys.path.append(str(Path(__file__).resolve().parent))  # for `shared`
from shared import morphology, run


def get_config(variant: str = "") -> ConfigDict:
    return run.apply(base(), run.choose(VARIANTS, variant, __file__))


def base() -> ConfigDict:
    config = parts.start(epochs=12.0, batch_size=128, checkpoint_every=200)
    config.monitor = parts.monitor(
        every_epochs=2.0, examples=1000, knn_label="label", collapse="stop"
    )
    config.data = morphology.nearby(100)
    noise = {"noise": 0.5, "blur": (0.0, 0.8)}
    config.method = {
        "name": "lejepa",
        "backbone": parts.vit(),
        "projector": (256, 256, 32),
        "global_views": 2,
        "local_views": 2,
        "global_view": parts.galaxy_view(64, zoom=(0.9, 1.2), shift=3.0, **noise),
        # A ViT takes one size: a local view is the middle of the galaxy, enlarged and shifted.
        "local_view": parts.galaxy_view(64, zoom=(1.5, 2.5), shift=8.0, **noise),
        "sigreg_weight": 0.05,
        "sigreg_directions": 256,
        "sigreg_t_max": 3.0,
        "sigreg_points": 17,
        "stretch": morphology.STRETCH,
    }
    schedule = parts.cosine(peak_value=1e-3, warmup_epochs=1.0, init_value=1e-5)
    config.optim = parts.optim(parts.adamw(weight_decay=0.05), schedule, clip_norm=None)
    config.evaluate = {**morphology.evaluate(), "explorer": parts.explorer()}
    return config


def smoke(config: ConfigDict) -> None:
    morphology.smoke(config)
    config.method.backbone.update({"width": 24, "depth": 1, "heads": 2})
    config.method.update({"projector": (32, 16), "local_views": 1, "sigreg_directions": 32})
    config.method.global_view.update({"crop": 24, "shift": 1.0})
    config.method.local_view.update({"crop": 24, "shift": 2.0})
    # Batch norm takes off the bias of the backbone's last norm, whose gradient is then rounding;
    # Adam would scale it up, and a run on 8 devices would differ visibly from one on 1.
    config.optim.optimizer = ConfigDict(parts.sgd(weight_decay=1e-4))
    config.optim.schedule.update({"peak_value": 0.05, "warmup_epochs": 0.0})


def pool(config: ConfigDict) -> None:
    morphology.use_pool(config)
    display(config)


def small(config: ConfigDict) -> None:
    config.update({"epochs": 16.0, "threads": 0})
    config.data.cache_in_memory = True
    config.method.backbone = ConfigDict(parts.resnet(depths=(1, 1, 1, 1)))
    # A residual network takes any size: the middle of the galaxy need not be enlarged.
    config.method.local_view.update({"crop": 32, "zoom": (0.75, 1.25), "shift": 8.0})


def display(config: ConfigDict) -> None:
    """8-bit composites, whose noise is not that of the sky."""
    config.method.stretch = parts.linear_stretch(1.0, 1.0, 1.0)
    config.method.global_view.noise = config.method.local_view.noise = 0.0


def paper(config: ConfigDict) -> None:
    config.update({"epochs": 400.0, "batch_size": 256, "threads": 8})
    config.data = morphology.galaxy10()
    config.evaluate.anomaly.anomalous = ()
    display(config)
    own = config.method
    regular = {"drop_path": 0.1, "layer_scale": 1e-6, "dtype": "bfloat16"}
    own.backbone = ConfigDict(
        parts.convnext(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), **regular)
    )
    own.update({"projector": (2048, 2048, 64), "local_views": 6, "sigreg_directions": 1024})
    own.global_view.update({"crop": 224, "zoom": (1.0, 1.5), "shift": 8.0})
    own.local_view.update({"crop": 96, "zoom": (1.0, 1.5), "shift": 32.0})
    config.optim.optimizer.weight_decay = 5e-4
    config.optim.decay_bias_and_norm = True  # the authors' decay is of everything
    config.optim.schedule.update({"peak_value": 5e-4, "init_value": 5e-6, "end_value": 5e-7})


def natural(config: ConfigDict) -> None:
    changed = {"saturation": 0.2, "solarize_probability": 0.2}
    config.method.global_view = ConfigDict(parts.natural_view(224, scale=(0.3, 1.0), **changed))
    config.method.local_view = ConfigDict(parts.natural_view(96, scale=(0.05, 0.3), **changed))
    config.method.stretch = {"name": "imagenet", "scale": (1.0, 1.0, 1.0)}


VARIANTS = {
    "": (),
    "smoke": (smoke,),
    "pool": (pool,),
    "small_pool": (pool, small),
    "galaxy_zoo": (pool, morphology.use_galaxy_zoo),
    "paper": (paper,),
    "natural": (paper, natural),
}
