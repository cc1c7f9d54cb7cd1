# SPDX-License-Identifier: Apache-2.0
"""Trains a recipe on your data, or what an experiment describes, and evaluates it.

    astrojax train lejepa --data cutouts/ --set bands=u,g,r,i --workdir runs/pretrained
    astrojax train --config experiments/pita.py
    astrojax train --config experiments/lejepa.py:smoke --config.epochs=3.0 --workdir runs/short
    astrojax train --config experiments/lejepa.py --check

Recipes are lejepa, ijepa, pita, moco, simsiam, self_classifier and magnitudes; they fit networks,
views and length to the data, and --config.KEY=VALUE changes what they choose. The same command
goes on where it was stopped. `--check` looks at data, model, memory and the time of one step, and
trains and writes nothing.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astrojax.cli import experiment, options
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = experiment.parser("train", __doc__)
    add = made.add_argument
    add("recipe", nargs="?", metavar="RECIPE", help="a recipe, for --data; or give --config")
    add("--workdir", metavar="RUN", help="folder of the run (default runs/<experiment>_<variant>)")
    add("--check", action="store_true", help="look at data, model, memory and time of one step")
    options.add_training_data(made)
    options.add_length(made)
    options.add_trackers(made)
    experiment.add_processes(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    experiment.run(_train, parser(), arguments)


def _train(given: argparse.Namespace) -> None:
    if (given.config is None) == (given.recipe is None):
        raise UserError(
            "say what to run: a recipe, e.g. `astrojax train lejepa --data cutouts/`, or "
            "--config experiments/pita.py"
        )
    if given.recipe is not None:
        return _train_recipe(given)
    if given.data or given.settings or given.epochs or given.minutes:
        raise UserError(
            "--data, --set, --epochs and --minutes are for recipes; keys of an experiment are set "
            "as --config.KEY=VALUE"
        )
    _run(given, given.experiment, Path(given.workdir or experiment.default_workdir(given.config)))


def _train_recipe(given: argparse.Namespace) -> None:
    from astrojax.data import section
    from astrojax.data.open import open_data
    from astrojax.inference import workflow

    if given.data is None:
        raise UserError(f"the recipe {given.recipe!r} needs data: add --data FILE or FOLDER")
    workdir = Path(given.workdir or f"runs/{given.recipe}")
    changes = section.parse(given.keys)
    if given.epochs is not None:
        changes["epochs"] = given.epochs
    config = workflow.config_of(
        given.recipe,
        open_data(given.data, **section.parse(given.settings)),
        workdir,
        size=given.size,
        minutes=given.minutes,
        changes=changes,
    )
    _run(given, config, workdir)


def _run(given: argparse.Namespace, config: Any, workdir: Path) -> None:
    from astrojax import distributed
    from astrojax.inference import evaluation, workflow
    from astrojax.training import preflight

    if given.track:
        with config.unlocked():
            config.trackers = tuple(given.track)
    if given.check:
        return preflight.run(config)
    if workflow.finish(config, workdir):
        return
    if distributed.is_main():
        print(f"{workdir} is finished; remove it, or give another --workdir, to train again.")
        print(evaluation.summary(workdir))
