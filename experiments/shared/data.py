# SPDX-License-Identifier: Apache-2.0
"""Sections `data`: the embedded surveys, and archives of images."""

from typing import Any


def survey(name: str, *, count: int, test: int, stamp: int, **changed: Any) -> dict[str, Any]:
    """Returns an embedded survey: `nearby`, `candels` or `splus`."""
    sizes = {"count": count, "validation": 500, "test": test, "stamp": stamp}
    fixed = {"held_out": "all", "max_magnitude_error": None, "seed": 0}
    return {"name": "survey", "survey": name, **sizes, **fixed, **changed}


def split(train: float, validation: float, test: float, *, seed: int = 0) -> dict[str, Any]:
    """Returns a split by the hash of the id."""
    parts = {"train": train, "validation": validation, "test": test}
    return {"name": "id", "fractions": parts, "seed": seed}


def info(bands: tuple[str, ...], **changed: Any) -> dict[str, Any]:
    """Returns what is known of images for display: their bands."""
    fixed = {"pixel_scale": None, "unit": "display", "zero_point": None}
    return {"bands": bands, **fixed, "noise": None, "extinction": None, **changed}


def npz(path: Any, *, columns: dict[str, str], **changed: Any) -> dict[str, Any]:
    """Returns an NPZ archive of RGB images (see `astrojax/data/readers/npz.py`)."""
    labels = {"class_names": None, "classes": None, "others": "error", "sentinels": {}}
    pixels = {"info": info(("i", "r", "g")), "crop": None, "resize": None, "bad_pixels": "error"}
    section = {"name": "npz", "path": path, "columns": columns, "layout": "nhwc"}
    return {**section, **labels, **pixels, "split": split(0.9, 0.05, 0.05), **changed}
