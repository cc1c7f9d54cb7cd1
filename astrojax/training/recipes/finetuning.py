# SPDX-License-Identifier: Apache-2.0
"""The recipe of fine-tuning: a pretrained backbone, a new head, and the target that it is for."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from ml_collections import ConfigDict

from astrojax.data import validate
from astrojax.data.open import Dataset
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.training.recipes import parts, whole
from astrojax.training.recipes.fit import Fit, look

Task = Literal["classes", "labels", "votes", "number", "redshift"]
TASKS = ("classes", "labels", "votes", "number", "redshift")
Scheme = Literal["head", "gradual", "full", "scratch"]
SCHEMES = ("head", "gradual", "full", "scratch")
_MOST_CLASSES = 50  # of integers that are taken for classes
_STEPS = {"small": 600, "base": 5000, "large": 20_000}
_DECAY = 0.75  # of the rate from layer to layer


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Attributes:
        names: Columns of the data.
        task: "classes" (one column of classes), "labels" (columns of 0 and 1), "votes" (columns of
            counts), "number" (columns of numbers, predicted with an error) or "redshift" (one
            number, predicted with a density).
        outputs: Classes, columns, or Gaussians of a density.
        offset: Subtracted from numbers, one for each column.
        scale: Divides them.
        questions: Numbers of answers of each question, for votes.
    """

    names: tuple[str, ...]
    task: Task
    outputs: int
    offset: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    questions: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a fine-tuned network begins.

    Attributes:
        backbone: Its section.
        stretch: The section `stretch` that it was trained with; None for that of the new data.
        crop: Side of its input, or None for any.
        init: The section `init` that fills it; None for random weights.
    """

    backbone: dict[str, Any]
    stretch: dict[str, Any] | None
    crop: int | None
    init: dict[str, Any] | None


def find_target(data: Dataset, names: tuple[str, ...], task: Task | None) -> tuple[Dataset, Target]:
    """Returns what the named columns hold, and the data with classes as `label`.

    Args:
        data: The data.
        names: Columns.
        task: What they are; None to see it in their values.

    Raises:
        UserError: A column is not there, has no values, or holds what the task cannot be.
    """
    train = data["train"]
    values = {name: _column(train, name) for name in names}
    task = task or _recognise(values)
    logging.info("%s: %s", ", ".join(names), _MEANING[task])
    if task == "classes":
        if len(names) != 1:
            raise UserError(f"classes are one column; {', '.join(names)} are {len(names)}")
        data = data.renamed("label", names[0])
        return data, Target(("label",), task, _count_classes(data, names[0]))
    numbers = {name: _numbers(name, v) for name, v in values.items()}
    if task == "votes":
        return data, Target(names, task, len(names), questions=_questions(names))
    if task == "labels":
        return data, Target(names, task, len(names))
    middle = tuple(float(f"{np.nanmedian(v):.6g}") for v in numbers.values())
    spread = tuple(float(f"{np.nanstd(v) or 1.0:.6g}") for v in numbers.values())
    if task == "redshift":
        if len(names) != 1:
            raise UserError(f"a redshift is one column; {', '.join(names)} are {len(names)}")
        data = data.renamed("redshift", names[0])
        return data, Target(("redshift",), task, 5, middle, spread)
    return data, Target(names, task, len(names), middle, spread)


_MEANING = {
    "classes": "classes, of which one is predicted, with the probability of each",
    "labels": "labels of 0 and 1, each predicted with its probability",
    "votes": "votes, of which the fraction for each answer is predicted",
    "number": "numbers, each predicted with its error",
    "redshift": "a redshift, of which the density is predicted",
}


def _column(source: Source, name: str) -> np.ndarray:
    validate.key(name, [n for n in source[0] if n != "image"], "the data")
    return source.column(name)


def _recognise(values: Mapping[str, np.ndarray]) -> Task:
    if len(values) > 1:
        known = np.concatenate([_numbers(n, v) for n, v in values.items()])
        return "labels" if np.isin(known[np.isfinite(known)], (0, 1)).all() else "number"
    ((name, column),) = values.items()
    if column.dtype.kind == "f":
        return "redshift" if name == "redshift" else "number"
    if column.dtype.kind in "iu" and len(np.unique(column)) > _MOST_CLASSES:
        return "number"
    return "classes"


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iufb" or values.ndim != 1:
        raise UserError(f"column {name!r} is not of numbers; text is for --task classes")
    numbers = np.ma.filled(values.astype(np.float64), np.nan)
    if not np.isfinite(numbers).any():
        raise UserError(f"no training example has a value of {name!r}")
    return numbers


def _count_classes(data: Dataset, name: str) -> int:
    label = np.asarray(data["train"].column("label"))
    known = label[label >= 0]
    if not len(known):
        raise UserError(f"no training example has a class in column {name!r}")
    names = data.info.classes
    count = len(names) if names else int(known.max()) + 1
    if len(np.unique(known)) < 2:
        only = names[known[0]] if names else known[0]
        raise UserError(
            f"all {len(known)} labelled training examples are {only!r}: at least two classes are "
            "needed to tell them apart"
        )
    return count


def _questions(names: tuple[str, ...]) -> tuple[int, ...]:
    """Returns the numbers of answers: columns of one question share what is before the last `_`."""
    questions = [name.rpartition("_")[0] or name for name in names]
    order = list(dict.fromkeys(questions))
    if questions != sorted(questions, key=order.index):
        raise UserError("the answers to one question have to follow one another in --target")
    return tuple(questions.count(q) for q in order)


def build(
    start: Start,
    data: Dataset,
    target: Target,
    *,
    scheme: Scheme,
    size: Any = "small",
    epochs: float | None = None,
    balanced: bool = False,
    layer_decay: float = _DECAY,
) -> ConfigDict:
    """Returns the config that trains a head on a pretrained backbone.

    Args:
        start: The backbone.
        data: The data, as `find_target` returned them.
        target: What is to be predicted.
        scheme: "head" trains the head alone; "gradual" the head first and then everything; "full"
            everything from the start; "scratch" everything from random weights.
        size: How long the run is; see `fit.look`.
        epochs: Length of the run; None for what suits the data. It ends when validation no longer
            gains.
        balanced: Whether classes weigh by the inverse of their share.
        layer_decay: Factor of the rate from one layer of the backbone to the one below it.

    Raises:
        UserError: The stamps are too small for the backbone.
    """
    fit = look(data, size=size, epochs=epochs, steps=_STEPS[size])
    config = whole.running(fit, data)
    config.method = _method(start, fit, target, balanced)
    rate = fit.rate(1e-3, batch=64)
    changed: dict[str, Any] = {"clip_norm": 1.0}
    if scheme == "head":
        config.method.train_backbone = False
        changed["frozen"] = ("backbone",)
    elif scheme in ("gradual", "full"):
        changed["layer_decay"] = {"backbone": layer_decay}
    patience = 5
    if scheme == "gradual":
        changed["thaw_epochs"] = {"backbone": round(fit.epochs / 5, 2)}
        patience += 2  # looks while the head alone is trained: there are ten, or fewer, in a run
    config.optim = parts.optim(parts.adamw(weight_decay=0.05), fit.cosine(rate), **changed)
    config.init = None if scheme == "scratch" else start.init
    if config.monitor is not None:
        config.monitor.update({"patience": patience, "examples": 5000})
    config.evaluate = _evaluation(target, data)
    return config


def _method(start: Start, fit: Fit, target: Target, balanced: bool) -> dict[str, Any]:
    crop = start.crop or fit.crop
    if fit.info.image_size < crop:
        raise UserError(
            f"the stamps are {fit.info.image_size} pixels wide, and the pretrained network takes "
            f"{crop}: cut larger stamps, or add --set resize={crop} for pictures"
        )
    physical = target.task in ("number", "redshift")  # a zoom would change fluxes and sizes
    zoom = (1.0, 1.0) if physical else (0.9, 1.15)
    shift = round(min(crop / 24, max(fit.info.image_size - crop, 0) / 2 + 1), 2)
    error = {
        "classes": "cross_entropy",
        "labels": "binary",
        "votes": "votes",
        "number": "gaussian",
        "redshift": "mixture",
    }[target.task]
    single = len(target.names) == 1
    return {
        "name": "supervised",
        "backbone": start.backbone,
        "backbone_outputs": None,
        "neck": (),
        "head": (128,) if target.task == "redshift" else (),
        "mlp_init": "lecun_normal",
        "target": target.names[0] if single else target.names,
        "outputs": target.outputs,
        "error": error,
        "huber_delta": 1.0,
        "target_offset": target.offset,
        "target_scale": target.scale,
        "class_weights": "balanced" if balanced else None,
        "dropout": 0.0,
        "max_norm": None,
        "train_backbone": True,
        "test_time_augmentation": 4,
        "view": parts.galaxy_view(crop, zoom=zoom, shift=shift),
        "stretch": start.stretch or fit.stretch,
        "questions": target.questions,
    }


def _evaluation(target: Target, data: Dataset) -> dict[str, Any]:
    if "test" not in data or not len(data["test"]):
        return {}
    usual = {"n_bootstrap": 200, "seed": 0}
    if target.task == "classes":
        return {"classification": usual, "projection": parts.projection("pca", mosaic=8)}
    if target.task == "labels":
        return {"multilabel": {"targets": target.names, **usual}}
    if target.task == "votes":
        return {"votes": {"targets": target.names, "questions": target.questions, **usual}}
    found: dict[str, Any] = {"regression": {"targets": target.names, **usual}}
    if target.task == "redshift":
        found["photoz"] = usual
        found["uncertainty"] = {"levels": (0.68, 0.95), **usual}
    return found
