# SPDX-License-Identifier: Apache-2.0
"""From one's own data to a trained model: what `astrojax train` and `astrojax finetune` do.

data = astrojax.open_data("stamps.h5", bands=("u", "g", "r", "i"), unit="microjansky")
run = astrojax.train("lejepa", data=data, workdir="runs/pretrained")
model = astrojax.finetune("runs/pretrained", data, target="label", workdir="runs/classes")
"""

import contextlib
import dataclasses
import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from astrojax import files
from astrojax.data import arrays, detect
from astrojax.data.open import Dataset, open_sources
from astrojax.errors import UserError
from astrojax.inference import evaluation, starts
from astrojax.inference.bundle import Model
from astrojax.inference.model import open_model
from astrojax.training import checkpoint, experiment_file, loop, preflight, settings
from astrojax.training.recipes import finetuning, whole
from astrojax.training.recipes.fit import Size
from astrojax.training.recipes.pretraining import RECIPES
from astrojax.training.run import Run

_COMPARISON = "comparison.json"


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        workdir: Its folder.
    """

    workdir: Path

    @property
    def metrics(self) -> dict[str, Any]:
        """The numbers of its evaluation."""
        return files.read_json(self.workdir / evaluation.FOLDER / "metrics.json")

    @property
    def model(self) -> Model:
        """Its model; the bundle in `workdir/bundle` is made at first use."""
        return open_model(str(self.workdir), None)


def train(
    recipe: Any,
    *,
    data: Dataset | None = None,
    workdir: str | Path,
    size: Size = "small",
    minutes: float | None = None,
    **changes: Any,
) -> Trained:
    """Trains a recipe or an experiment, and evaluates it; goes on with what is in `workdir`.

    Args:
        recipe: A name in `RECIPES`, the path of an experiment with an
            optional ":variant", or a config.
        data: What to train on; a recipe needs it, an experiment has its own.
        workdir: Folder of the run.
        size: Of a recipe: "small" suits a laptop, "base" one accelerator, "large" several.
        minutes: How long the training may take, instead of `epochs`; measured on a few steps.
        **changes: Config keys to change: `epochs=20.0`, `**{"optim.clip_norm": 1.0}` in a section.

    Returns:
        The run, with its metrics and its model.

    Raises:
        UserError: Something in recipe, data or folder does not fit; nothing was computed yet.
    """
    workdir = Path(workdir)
    config = config_of(recipe, data, workdir, size=size, minutes=minutes, changes=changes)
    finish(config, workdir)
    return Trained(workdir)


def config_of(
    recipe: Any,
    data: Dataset | None,
    workdir: Path,
    *,
    size: Size,
    minutes: float | None,
    changes: Mapping[str, Any],
) -> ConfigDict:
    """Returns the config that `train` trains."""
    if isinstance(recipe, str) and recipe in RECIPES:
        if data is None:
            raise UserError(f"the recipe {recipe!r} needs data: --data WHERE (data=... in Python)")
        data = stored(data, workdir)
        config = whole.build(recipe, data, size=size, epochs=changes.get("epochs"))
    else:
        config = (
            experiment_file.load(recipe)
            if isinstance(recipe, str)
            else recipe.copy_and_resolve_references()
        )
        if data is not None:
            del config["data"]
            config.data = stored(data, workdir).section
    change(config, changes)
    if minutes is not None:
        config.epochs = _epochs_for(minutes, config, workdir)
    return config


def finish(config: Any, workdir: Path) -> bool:
    """Trains what is left to be trained, and evaluates what is not evaluated in this way.

    Returns:
        Whether there was anything to do.
    """
    trained = loop.train(config, workdir)
    changed = not trained and evaluation.adopt(config, workdir)
    if not trained and not changed and evaluation.done(workdir):
        return False
    evaluation.run(workdir, wait=True)
    return True


def change(config: ConfigDict, changes: Mapping[str, Any]) -> None:
    """Sets config keys, "a.b" in a nested section.

    Raises:
        UserError: There is no such key.
    """
    for key, value in changes.items():
        *outer, last = key.split(".")
        section: Any = config
        for name in outer:
            section = section.get(name) if name in section else None
            if not isinstance(section, ConfigDict):
                raise UserError(f"the config has no section {name!r}, which {key!r} names")
        if last not in section:
            near = difflib.get_close_matches(last, list(section), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f": {', '.join(section)}"
            raise UserError(f"the config has no key {key!r}{hint}")
        with section.ignore_type():
            section[last] = value


def stored(data: Dataset, workdir: Path) -> Dataset:
    """Returns data that a run can open again: arrays in memory are copied to its folder."""
    if data.section is not None:
        return data
    section = arrays.store(data, workdir)
    return Dataset(open_sources(section), section)


def _epochs_for(minutes: float, config: ConfigDict, workdir: Path) -> float:
    """Returns the epochs that fit into the time; those of a run that was begun stay."""
    if settings.has_started(workdir):
        return checkpoint.read_config(workdir)["epochs"]
    job = Run(config)
    seconds = preflight.seconds_per_step(job)
    epochs = max(round(minutes * 60 / seconds / job.steps_per_epoch, 2), 1.0)
    logging.info("%.3g s a step: %g epochs in %g minutes", seconds, epochs, minutes)
    return epochs


def finetune(
    source: str | Path | Trained,
    data: Dataset,
    *,
    target: str | Sequence[str],
    workdir: str | Path,
    task: finetuning.Task | None = None,
    scheme: finetuning.Scheme = "gradual",
    balanced: bool = False,
    layer_decay: float = 0.75,
    size: Size = "small",
    compare: bool = False,
    arch: str | None = None,
    stem: starts.Stem = "mean",
    **changes: Any,
) -> Model:
    """Trains a head, and as asked the backbone below it, to predict columns of the data.

    Args:
        source: A run, a bundle, `hf://owner/name[@revision]`, or weights of torchvision or timm.
        data: Labelled data; objects without a label are left out of the training.
        target: Column or columns to predict.
        workdir: Folder of the run.
        task: "classes", "labels", "votes", "number" or "redshift" (see `finetuning.Target`); None
            to see it in the values.
        scheme: "head" trains the head alone; "gradual" the head first and then everything; "full"
            everything; "scratch" everything from random weights.
        balanced: Whether classes weigh by the inverse of their share.
        layer_decay: Factor of the rate from one layer of the backbone to the one below it.
        size: How long the run is at most.
        compare: Whether "scratch" and "head" run too: `workdir/comparison.json`.
        arch: Architecture of a file of weights, or None to see it.
        stem: What becomes of the first convolution of such weights for other bands: "mean",
            "repeat" or "fresh" (see `interop.torch.load`). A run's follow the bands' names.
        **changes: Config keys to change.

    Returns:
        The model, from the bundle in `workdir/bundle`.

    Raises:
        UserError: The data do not fit the network, or the target not the data.
    """
    workdir, names = Path(workdir), (target,) if isinstance(target, str) else tuple(target)
    data, found = finetuning.find_target(data, names, task)
    start = starts.open_start(source, data, arch=arch, stem=stem)
    data = stored(data, workdir)
    options: dict[str, Any] = {"balanced": balanced, "layer_decay": layer_decay, "size": size}
    options["epochs"] = changes.get("epochs")
    runs = {}
    for one, folder in _folders(workdir, scheme, compare).items():
        config = finetuning.build(start, data, found, scheme=one, **options)
        change(config, changes)
        finish(config, folder)
        runs[one] = Trained(folder)
    if compare:
        table = {name: run.metrics for name, run in runs.items()}
        files.write_json(workdir / _COMPARISON, table)
        print(json.dumps(table, indent=2))
    return runs[scheme].model


def _folders(
    workdir: Path, scheme: finetuning.Scheme, compare: bool
) -> dict[finetuning.Scheme, Path]:
    """Returns {scheme: folder of its run}, the one that is asked for first."""
    folders: dict[finetuning.Scheme, Path] = {scheme: workdir}
    if compare:
        folders.setdefault("head", workdir / "head")
        folders.setdefault("scratch", workdir / "scratch")
    return folders


def said_before(source: str, where: str) -> dict[str, Any]:
    """Returns what was said of images when a run was trained on the same file or folder.

    Args:
        source: The run; of anything else nothing was said.
        where: The file, folder or pattern.

    Returns:
        Settings of `open_data`: what the pixels are, and how the files are read.
    """
    folder = Path(source).expanduser()
    if not (folder / "config.json").is_file() or not (folder / "checkpoints").is_dir():
        return {}
    whole = checkpoint.read_config(folder)["data"]
    section = whole.get("cutouts", whole)
    with contextlib.suppress(UserError):  # which opening the data says better
        if detect.recognise(where, {}) == (section["name"], section.get("path")):
            read = ("hdus", "layout", "shape", "crop", "resize", "bad_pixels", "unreadable")
            settings = {k: section[k] for k in read if section.get(k) is not None}
            settings |= {"convert": whole["convert"]} if whole.get("convert") else {}
            pixels = {k: v for k, v in section.get("info", {}).items() if v is not None}
            logging.info("%s is read as in the training of %s", where, source)
            return settings | pixels
    return {}
