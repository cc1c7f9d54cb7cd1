# SPDX-License-Identifier: Apache-2.0
"""LeJEPA, I-JEPA and Self-Classifier on morphology: the same galaxies and the same scores."""

from typing import Any

from ml_collections import ConfigDict

from astrojax.training.recipes import parts
from shared.data import npz, split, survey

# Views are mirrored, which turns one kind of spiral into the other.
CLASSES = (
    "elliptical",
    ("spiral", ("spiral_clockwise", "spiral_anticlockwise")),
    "edge_on",
    "dont_know",
    "merger",
)
STRETCH = {"name": "asinh", "scale": (0.1, 0.2, 0.3)}


def nearby(stamp: int) -> dict[str, Any]:
    """Returns simulated galaxies of seven classes.

    Stamps are larger than the crop by sqrt(2), so that a turned view has no empty corners.
    """
    return survey("nearby", count=4000, test=1000, stamp=stamp, labelled_fraction=0.5)


def pool() -> dict[str, Any]:
    """Returns unlabelled RGB images: `blob`, `offsets` and `ids`."""
    return npz("galaxies.npz", columns={"image": "blob", "id": "ids"}, resize=92)


def galaxy_zoo(resize: int) -> dict[str, Any]:
    """Returns labelled RGB images: `labels` and `class_names` besides."""
    columns = {"image": "blob", "id": "ids", "label": "labels"}
    labels = {"class_names": "class_names", "classes": CLASSES, "split": split(0.7, 0.1, 0.2)}
    return npz("galaxy_zoo.npz", columns=columns, resize=resize, **labels)


def galaxy10() -> dict[str, Any]:
    """Returns Galaxy10 DECaLS."""
    section = {"name": "galaxy10", "path": "Galaxy10_DECals.h5", "crop": None, "resize": None}
    return {**section, "split": split(0.85, 0.05, 0.1)}


def evaluate() -> dict[str, Any]:
    """Returns the scores: labels from few examples, neighbours, what is strange, and a plane."""
    strange = {"k": 10, "anomalous": ("merger", "artefact"), "n_bootstrap": 200, "seed": 0}
    return {
        "linear_probe": parts.linear_probe(fractions=(0.01, 0.1), repeats=5),
        "knn": parts.knn(),
        "anomaly": strange,
        "projection": parts.projection("pca"),
    }


def use_pool(config: ConfigDict) -> None:
    """Changes to unlabelled images, of which no label can be asked."""
    config.threads = 2
    config.data = pool()
    config.monitor.knn_label = None
    config.evaluate.anomaly.anomalous = ()
    del config.evaluate.linear_probe, config.evaluate.knn


def use_galaxy_zoo(config: ConfigDict) -> None:
    """Changes from unlabelled to labelled images."""
    config.data = galaxy_zoo(92)
    config.monitor.knn_label = "label"
    scores = ConfigDict(evaluate())
    config.evaluate.linear_probe, config.evaluate.knn = scores.linear_probe, scores.knn
    config.evaluate.anomaly.anomalous = ("merger", "dont_know")


def smoke(config: ConfigDict) -> None:
    """Makes data and scores tiny."""
    config.update({"epochs": 2.0, "batch_size": 32, "log_every": 2, "checkpoint_every": 4})
    config.monitor.update({"every_epochs": 1.0, "examples": 64, "collapse": "warn"})
    config.data.update({"count": 128, "stamp": 32, "validation": 32, "test": 64})
    scores = config.evaluate
    few = {"penalties": (1e-2, 1.0), "fractions": (), "max_iterations": 50, "n_bootstrap": 20}
    scores.linear_probe.update(few)
    scores.knn.update({"k": (5, 10), "n_bootstrap": 20})
    scores.projection.update({"method": "pca", "mosaic": 4})
    if "anomaly" in scores:
        scores.anomaly.n_bootstrap = 20
    if "explorer" in scores:
        scores.explorer.method = "pca"
