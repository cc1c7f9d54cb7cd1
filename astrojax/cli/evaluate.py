# SPDX-License-Identifier: Apache-2.0
r"""Evaluates a trained run again, from its checkpoint.

    astrojax evaluate --workdir runs/pita
    astrojax evaluate --workdir runs/lejepa --config experiments/lejepa.py:galaxy_zoo \
        --config.data.path=galaxy_zoo.npz
    astrojax evaluate --workdir runs/a runs/b runs/c --out runs/abc

With `--config` the data and the evaluation tasks are those of that experiment, and the results are
in `runs/.../evaluation_lejepa_galaxy_zoo`: a run that was trained without labels is scored on
others. Several runs are pooled as an ensemble: see `astrojax.inference.ensemble`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from astrojax.cli import experiment
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = experiment.parser("evaluate", __doc__)
    add = made.add_argument
    add("--workdir", metavar="RUN", nargs="+", help="folder of the run; several for an ensemble")
    add("--out", metavar="FOLDER", help="folder of the results of an ensemble")
    experiment.add_processes(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    experiment.run(_evaluate, parser(), arguments)


def _evaluate(given: argparse.Namespace) -> None:
    from astrojax.inference import ensemble, evaluation

    if given.workdir is None:
        raise UserError("say which run, e.g. --workdir runs/pita")
    if (len(given.workdir) > 1) != (given.out is not None):
        raise UserError("--out FOLDER goes with several runs in --workdir, an ensemble")
    workdirs = [Path(folder) for folder in given.workdir]
    if given.out is not None:
        if given.config is not None:
            raise UserError("--config is for one run: an ensemble reads the tables of its members")
        return ensemble.evaluate_runs(workdirs, Path(given.out))
    if given.config is None:
        return evaluation.run(workdirs[0])
    name = f"{evaluation.FOLDER}_{Path(experiment.default_workdir(given.config)).name}"
    evaluation.run(workdirs[0], other=given.experiment, folder=name)
