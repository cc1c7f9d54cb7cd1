# SPDX-License-Identifier: Apache-2.0
"""Whole configs of recipes: running, data, method, optimizer, monitor and evaluation.

config = whole.build("lejepa", data, size="small")
"""

from typing import Any

from ml_collections import ConfigDict

from astrojax.data.open import Dataset
from astrojax.errors import UserError
from astrojax.training.recipes import parts, pretraining
from astrojax.training.recipes.fit import Fit, Size, look


def build(
    name: str, data: Dataset, *, size: Size = "small", epochs: float | None = None
) -> ConfigDict:
    """Returns the config of a pretraining recipe for a data set.

    Args:
        name: One of `RECIPES`.
        data: The data; stretch, crop, batch and length follow from it.
        size: "small" suits a laptop, "base" one accelerator, "large" several.
        epochs: Length of the run; None for what suits size and data.

    Raises:
        UserError: There is no such recipe, or it needs columns that the data lack.
    """
    if name not in pretraining.RECIPES:
        raise UserError(f"there is no recipe {name!r}; there are {', '.join(pretraining.RECIPES)}")
    fit = look(data, size=size, epochs=epochs)
    config = running(fit, data)
    config.method, config.optim = pretraining.RECIPES[name](fit, data)
    config.evaluate = _evaluation(name, fit, data, config)
    if config.monitor is not None and fit.label:
        config.monitor.knn_label = "label"
    return config


def running(fit: Fit, data: Dataset) -> ConfigDict:
    """Returns the keys of running, and the section `data`."""
    steps = max(round(fit.epochs * fit.count / fit.batch), 1)
    config = parts.start(epochs=fit.epochs, batch_size=fit.batch)
    config.update({"threads": 2, "log_every": max(min(20, steps // 10), 1)})
    config.checkpoint_every = max(min(500, steps // 8), 1)
    if data.get("validation") is not None and len(data["validation"]) >= 8:
        every = round(max(fit.epochs / 10, 1.0), 2)
        config.monitor = parts.monitor(every_epochs=every, examples=1000)
    config.data = data.section or {"name": "arrays"}
    return config


def _evaluation(name: str, fit: Fit, data: Dataset, config: ConfigDict) -> dict[str, Any]:
    """Returns the tasks that the data have the columns for."""
    tasks: dict[str, Any] = {}
    if "test" not in data or not len(data["test"]):
        return tasks
    if fit.label:
        neighbors = tuple(k for k in (5, 10, 20, 50) if k < fit.count)
        tasks["linear_probe"] = parts.linear_probe()
        tasks["knn"] = {**parts.knn(), "k": neighbors}
    if name == "self_classifier":
        classes = config.method.classes[0]
        tasks["clustering"] = {"clusters": classes, "n_bootstrap": 200, "seed": 0}
    if name == "magnitudes":
        tasks["regression"] = {"targets": ("magnitude",), "n_bootstrap": 200, "seed": 0}
    if name == "pita" and config.method.redshift_weight:
        tasks["regression"] = {"targets": ("redshift",), "n_bootstrap": 200, "seed": 0}
    tasks["projection"] = parts.projection("pca", mosaic=8)
    tasks["explorer"] = {**parts.explorer(), "method": "pca"}
    return tasks
