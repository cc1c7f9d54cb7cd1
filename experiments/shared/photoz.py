# SPDX-License-Identifier: Apache-2.0
"""PITA and its three baselines: the same galaxies, encoder, views, optimizer and scores."""

from typing import Any

from ml_collections import ConfigDict

from shared import networks, run, tasks, views
from shared.data import survey

# Of a run that sees nothing but the galaxies with a redshift.
LABELLED = {"column": "redshift", "count": None, "drop_unlabelled": True, "seed": 0}
STRETCH = views.asinh(0.001, 0.001, 0.003, 0.003)


def data(**more: Any) -> dict[str, Any]:
    """Returns the embedded survey like CANDELS; one galaxy in five has a redshift."""
    fixed = {"validation": 300, "labelled_fraction": 0.2, "held_out": "spectroscopic"}
    fixed |= {"deredden": True}
    return survey("candels", count=7500, test=1000, stamp=48, **fixed, **more)


def backbone() -> dict[str, Any]:
    """Returns a small ConvNeXt, for 32 x 32 pixels."""
    return networks.convnext(depths=(2, 2, 2), widths=(24, 48, 96))


def view() -> dict[str, Any]:
    """Returns turns, mirrors, shifts and a little noise."""
    return views.galaxy(32, shift=2.0, noise=1.0)


def optim(*, warmup_epochs: float, peak_value: float = 1e-3) -> dict[str, Any]:
    """Returns AdamW with a cosine."""
    schedule = run.cosine(peak_value=peak_value, warmup_epochs=warmup_epochs)
    return run.optim(run.adamw(weight_decay=1e-4), schedule)


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
        "projection": tasks.projection("tsne", columns_shown=shown),
        "explorer": tasks.explorer(),
    }
    return {name: known[name] for name in names}


def supervised() -> ConfigDict:
    """Returns the whole config of the Huber loss on redshift, and on nothing else."""
    config = run.start(epochs=208.0, batch_size=128)
    config.data = data(labels=LABELLED)
    config.method = {
        "name": "supervised",
        "backbone": backbone(),
        "backbone_outputs": None,
        "neck": (256, 128),
        "head": (256, 128, 64),
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
