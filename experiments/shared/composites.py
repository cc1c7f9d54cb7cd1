# SPDX-License-Identifier: Apache-2.0
"""Magnitudes as a pretext and the tasks it is transferred to: the same images and networks."""

from typing import Any

from ml_collections import ConfigDict

from astrojax.training.recipes import parts
from shared.data import info, split, survey

BANDS = ("u", "F378", "F395", "F410", "F430", "g", "F515", "r", "F660", "i", "F861", "z")
# The grouping of bands in the survey's own color images.
CHANNELS = (
    ("red", ("r", "i", "F861", "z")),
    ("green", ("g", "F515", "F660")),
    ("blue", ("u", "F378", "F395", "F410", "F430")),
)


def splus(**changed: Any) -> dict[str, Any]:
    """Returns 32 x 32 composites of stars, galaxies, quasars and mergers in twelve bands."""
    composite = {"channels": CHANNELS, "stretch": 20.0, "q": 10.0, "minimum": -2.0}
    fixed = {"labelled_fraction": 0.0, "deredden": True, "composite": composite}
    return survey("splus", stamp=32, **fixed, cache_in_memory=True, **changed)


def catalogue(table: str, columns: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Returns a catalogue joined to the folder `cutouts` of 32 x 32 color pictures, <id>.png."""
    folder = {
        "name": "folder",
        "path": "cutouts",
        "id_from": "stem",
        "unreadable": "error",
        "classes": None,
        "others": "error",
        "info": info(("red", "green", "blue"), pixel_scale=0.55),
        "crop": None,
        "resize": None,
        "bad_pixels": "error",
        "split": None,
    }
    match = {"match": "id", "radius_arcsec": 1.0, "position_unit": None}
    match |= {"unmatched": "drop", "unmatched_file": "unmatched.csv", "select": None}
    labels = {"classes": None, "others": "error", "sentinels": {}}
    section = {"name": "catalogue", "table": table, "cutouts": folder, "columns": columns}
    return {**section, **match, **labels, "split": split(0.8, 0.1, 0.1), **changed}


def spectroscopic(**changed: Any) -> dict[str, Any]:
    """Returns S-PLUS objects with a class from SDSS spectra: `id`, `ra`, `dec` and `class`."""
    columns = {"id": "id", "ra": "ra", "dec": "dec", "label": "class"}
    return catalogue("splus_classes.csv", columns, **changed)


def slim() -> dict[str, Any]:
    """Returns a slim VGG, for a laptop."""
    return parts.vgg(depths=(1, 1, 2, 2), widths=(16, 32, 64, 128))


def vgg16() -> dict[str, Any]:
    """Returns the paper's VGG16, for an accelerator."""
    widths = (64, 128, 256, 512, 512)
    return parts.vgg(depths=(2, 2, 3, 3, 3), widths=widths, batch_norm=False)


def tiny() -> dict[str, Any]:
    """Returns a VGG for seconds."""
    return parts.vgg(depths=(1, 1, 1), widths=(8, 16, 16), batch_norm=False)


def resnet(stem: str) -> dict[str, Any]:
    """Returns a residual network: stem `cifar` at full resolution, `imagenet` for 2 cores."""
    return parts.resnet(depths=(1, 1, 1, 1), stem=stem)


def smoke(config: ConfigDict) -> None:
    """Makes running and data tiny."""
    config.update({"batch_size": 32, "log_every": 2, "checkpoint_every": 4})
    config.evaluate.projection.limit = 64
    if config.monitor is not None:
        config.monitor.examples = 64
    if config.data.name == "survey":
        config.data.update({"count": 128, "validation": 64, "test": 64})
