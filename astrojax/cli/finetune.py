# SPDX-License-Identifier: Apache-2.0
r"""Trains a pretrained network to predict columns of labelled data, and evaluates it.

    astrojax finetune runs/pretrained --data cutouts/ --set catalogue=labels.csv \
        --target label --workdir runs/classes
    astrojax finetune BUNDLE --data stamps.h5 --target size,magnitude_r --workdir runs/sizes

What the target is follows from its values: text or few integers are classes, several columns of 0
and 1 are labels, other numbers are predicted with their errors; --task says otherwise. Bands are
matched by their names. What was said of the pixels for the run that it begins with need not be
said again of the same files. The same command goes on where it was stopped; the model is in
WORKDIR/bundle.
"""

import argparse
from collections.abc import Sequence

from astrojax.cli import experiment, options
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("finetune", __doc__)
    add = made.add_argument
    add(
        "source",
        metavar="FROM",
        help="folder of a pretrained run or of a bundle, hf://owner/name[@revision], or a file of "
        "weights of torchvision or timm (.safetensors, .pth)",
    )
    add("--workdir", required=True, metavar="RUN", help="folder of the new run")
    options.add_training_data(made)
    group = made.add_argument_group("the target")
    add = group.add_argument
    add("--target", required=True, metavar="COLUMN[,COLUMN]", help="what is to be predicted")
    tasks = ("classes", "labels", "votes", "number", "redshift")
    add("--task", choices=tasks, help="what the target is, where its values do not show it")
    add("--balanced", action="store_true", help="classes weigh by the inverse of their share")
    group = made.add_argument_group("the training")
    add = group.add_argument
    add(
        "--scheme",
        choices=("head", "gradual", "full", "scratch"),
        default="gradual",
        help="the head alone, the head first and then everything (default), everything, or "
        "everything from random weights",
    )
    add(
        "--layer-decay",
        type=float,
        default=0.75,
        metavar="F",
        help="rate of a layer of the backbone against the one above it (default 0.75)",
    )
    add(
        "--compare",
        action="store_true",
        help="also train the head alone, and the network from random weights, and compare",
    )
    add("--arch", metavar="NAME", help="of a file of weights, where its entries do not show it")
    add(
        "--stem",
        choices=("mean", "repeat", "fresh"),
        default="mean",
        help="how a first convolution of such weights is made for other bands (default mean)",
    )
    options.add_length(made)
    options.add_trackers(made)
    experiment.add_processes(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    experiment.run(_finetune, parser(), arguments)


def _finetune(given: argparse.Namespace) -> None:
    from astrojax.data import section
    from astrojax.data.open import open_data
    from astrojax.inference import workflow

    if given.data is None:
        raise UserError("say which labelled images: add --data FILE or FOLDER")
    settings = workflow.said_before(given.source, given.data) | section.parse(given.settings)
    data = open_data(given.data, **settings)
    changes = section.parse(given.keys)
    if given.epochs is not None:
        changes["epochs"] = given.epochs
    workflow.finetune(
        given.source,
        data,
        target=tuple(name.strip() for name in given.target.split(",")),
        workdir=given.workdir,
        task=given.task,
        scheme=given.scheme,
        balanced=given.balanced,
        layer_decay=given.layer_decay,
        size=given.size,
        compare=given.compare,
        arch=given.arch,
        stem=given.stem,
        trackers=tuple(given.track or ()),
        **changes,
    )
