# SPDX-License-Identifier: Apache-2.0
"""PITA and its three baselines: the same galaxies, encoder, views, optimizer and scores.

`candels`, `paper` and what follows them are the published recipe, on the authors' file.
"""

from typing import Any

from ml_collections import ConfigDict

from astrojax.training.recipes import parts
from shared.data import info, survey

# Of a run that sees nothing but the galaxies with a redshift.
LABELLED = {"column": "redshift", "count": None, "drop_unlabelled": True, "seed": 0}
STRETCH = parts.asinh_stretch(0.001, 0.001, 0.003, 0.003)
MAD = 0.6745  # of a Gaussian of sigma 1


def data(**more: Any) -> dict[str, Any]:
    """Returns the embedded survey like CANDELS; one galaxy in five has a redshift."""
    fixed = {"validation": 300, "labelled_fraction": 0.2, "held_out": "spectroscopic"}
    fixed |= {"deredden": True}
    return survey("candels", count=7500, test=1000, stamp=48, **fixed, **more)


def backbone() -> dict[str, Any]:
    """Returns a small ConvNeXt, for 32 x 32 pixels."""
    return parts.convnext(depths=(2, 2, 2), widths=(24, 48, 96))


def view() -> dict[str, Any]:
    """Returns turns, mirrors, shifts and a little noise."""
    return parts.galaxy_view(32, shift=2.0, noise=1.0)


def optim(*, warmup_epochs: float, peak_value: float = 1e-3) -> dict[str, Any]:
    """Returns AdamW with a cosine."""
    schedule = parts.cosine(peak_value=peak_value, warmup_epochs=warmup_epochs)
    return parts.optim(parts.adamw(weight_decay=1e-4), schedule)


def evaluate(*names: str) -> dict[str, Any]:
    """Returns the tasks of these names."""
    shown = ("magnitude_F160W", "color_F125W_F160W", "redshift", "size", "predicted_redshift")
    known = {
        "photoz": {
            "magnitude": "magnitude_F160W",
            "magnitude_edges": (18.0, 21.0, 22.0, 23.0, 24.0, 26.0),
            "redshift_edges": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
            "n_bootstrap": 200,
            "seed": 0,
        },
        "uncertainty": {"levels": (0.68, 0.95), "n_bootstrap": 200, "seed": 0},
        "template_fit": {"survey": "candels", "n_bootstrap": 200, "seed": 0},
        "projection": parts.projection("tsne", columns_shown=shown),
        "explorer": parts.explorer(),
    }
    return {name: known[name] for name in names}


def supervised() -> ConfigDict:
    """Returns the whole config of the Huber loss on redshift, and on nothing else."""
    config = parts.start(epochs=208.0, batch_size=128)
    config.data = data(labels=LABELLED)
    config.method = {
        "name": "supervised",
        "backbone": backbone(),
        "backbone_outputs": None,
        "neck": (256, 128),
        "head": (256, 128, 64),
        "mlp_init": "lecun_normal",
        "target": "redshift",
        "outputs": 1,
        "error": "huber",
        "huber_delta": 0.15,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
        "dropout": 0.0,
        "max_norm": None,
        "train_backbone": True,
        "test_time_augmentation": 4,
        "view": view(),
        "stretch": STRETCH,
    }
    config.optim = optim(warmup_epochs=5.0)
    config.evaluate = evaluate("photoz", "uncertainty", "projection")
    return config


def smoke(config: ConfigDict) -> None:
    """Makes data, encoder and scores tiny."""
    config.update({"epochs": 2.0, "batch_size": 32})
    config.data.update({"count": 320, "validation": 32, "test": 48, "stamp": 40})
    if "backbone" in config.method:
        config.method.backbone.update({"depths": (1, 1), "widths": (8, 16)})
        config.method.view.crop = 24
    for task in config.evaluate.values():
        if "n_bootstrap" in task:
            task.n_bootstrap = 20
    if "projection" in config.evaluate:
        config.evaluate.projection.update({"perplexity": 10.0, "mosaic": 4})
    if "explorer" in config.evaluate:
        config.evaluate.explorer.method = "pca"


def smoke_supervised(config: ConfigDict) -> None:
    """Makes `supervised` tiny."""
    smoke(config)
    config.data.labelled_fraction = 0.5
    config.method.update({"neck": (16, 16), "head": (16,)})


def candels(**more: Any) -> dict[str, Any]:
    """Returns the authors' HDF5 file; test and validation are 30% of the galaxies with redshift."""
    where = (
        "download the Hugging Face data set Ashodkh/candels-unlabeled-and-labeled-images (DOI "
        "10.57967/hf/8044), or cut 108-pixel stamps from the public CANDELS mosaics in F606W, "
        "F814W, F125W and F160W, and pass the HDF5 file with --config.data.path=FILE"
    )
    names = {"image": "images", "ebv": "ebvs", "redshift": "redshifts"}
    known = {"pixel_scale": 0.06, "unit": "electrons/s", "noise": "measure"}
    known["zero_point"] = 23.9  # of the catalogue's fluxes, which are in microjansky
    return {
        "name": "hdf5",
        "path": "candels.h5",
        "fetch": where,
        "columns": {**names, "dered_color_features": "dered_color_features"},
        "layout": "nchw",
        "label_thinning": None,
        "sentinels": {},
        "info": info(
            ("F606W", "F814W", "F125W", "F160W"),
            extinction=(2.471, 1.526, 0.726, 0.512),
            **known,
        ),
        "crop": None,
        "bad_pixels": "error",
        "split": {
            "name": "label",
            "column": "redshift",
            "fractions": {"train": 0.7, "validation": 0.15, "test": 0.15},
            "seed": 42,
        },
        "deredden": True,
        **more,
    }


def paper(config: ConfigDict) -> None:
    """Changes what sees images to the authors' network, views and first weights on their file."""
    config.update({"threads": 8, "checkpoint_every": 500})
    own = config.method
    own.backbone.update({"depths": (3, 3, 9, 3), "widths": (96, 192, 384, 768)})
    own.backbone.update({"drop_path": 0.1, "layer_scale": 1e-6, "dtype": "bfloat16"})
    own.update({"backbone_outputs": 1000, "mlp_init": "torch_uniform"})
    # They add noise of one MAD of each band, not of one sigma.
    own.view.update({"crop": 64, "shift": 4.0, "noise": MAD})
    own.stretch = parts.linear_stretch(1.0, 1.0, 1.0, 1.0)


def adam(schedule: dict[str, Any]) -> dict[str, Any]:
    """Returns the authors' Adam: decay coupled to the gradient, of all parameters, no clipping."""
    changed = {"decay_bias_and_norm": True, "clip_norm": None}
    return parts.optim(parts.adamw(weight_decay=1e-5, name="adam"), schedule, **changed)


def annealing() -> dict[str, Any]:
    """Returns the rate of PITA's training, which falls, rises and falls with a period of 1,000."""
    schedule = {"name": "cosine_annealing", "peak_value": 1e-3, "end_value": 1e-7}
    return schedule | {"half_period_epochs": 500.0}


def evaluate_paper(config: ConfigDict) -> None:
    """Leaves out the fit that knows the embedded survey alone, and sizes, which the file lacks."""
    if "template_fit" in config.evaluate:
        del config.evaluate.template_fit
    if "projection" in config.evaluate:
        shown = ("magnitude_F160W", "color_F125W_F160W", "redshift", "predicted_redshift")
        if config.method.name == "moco":
            shown = shown[:3]
        config.evaluate.projection.update({"method": "auto", "columns_shown": shown})
        config.evaluate.projection.limit = 5000


def paper_labelled(config: ConfigDict) -> None:
    """Changes running, data and optimizer to those of the authors' supervised training."""
    # 1,200 epochs there, of which the last 100 stay at the floor of the rate.
    config.update({"epochs": 1100.0, "batch_size": 512})
    config.data = candels(labels=LABELLED)
    schedule = parts.cosine(peak_value=5e-4, warmup_epochs=200.0, end_value=1e-6)
    config.optim = adam(schedule)
    evaluate_paper(config)


def paper_supervised(config: ConfigDict) -> None:
    """Changes `supervised` to the published recipe."""
    paper(config)
    config.method.update({"neck": (512, 128), "head": (256, 128, 128, 128, 128, 64)})
    config.method.test_time_augmentation = 1
    paper_labelled(config)
