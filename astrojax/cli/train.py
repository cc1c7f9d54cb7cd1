# SPDX-License-Identifier: Apache-2.0
"""Trains the model that an experiment describes, evaluates it, and says where the results are.

    astrojax train --config experiments/pita.py
    astrojax train --config experiments/lejepa.py:smoke --config.epochs=3.0 --workdir runs/short
    astrojax train --config experiments/lejepa.py --check

The same command goes on where it was stopped. `--check` looks at data, model, memory and the time
of one step, and trains and writes nothing.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from astrojax.cli import experiment
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = experiment.parser("train", __doc__)
    add = made.add_argument
    add("--workdir", metavar="RUN", help="folder of the run (default runs/<experiment>_<variant>)")
    add("--check", action="store_true", help="look at data, model, memory and time of one step")
    experiment.add_processes(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    experiment.run(_train, parser(), arguments)


def _train(given: argparse.Namespace) -> None:
    if given.config is None:
        raise UserError("say what to run, e.g. --config experiments/pita.py")
    from astrojax import distributed
    from astrojax.inference import evaluation
    from astrojax.training import loop, preflight

    if given.check:
        return preflight.run(given.experiment)
    workdir = Path(given.workdir or experiment.default_workdir(given.config))
    if loop.train(given.experiment, workdir) or not evaluation.done(workdir):
        evaluation.run(workdir, wait=True)
    elif distributed.is_main():
        print(f"{workdir} is finished; remove it, or give another --workdir, to train again.")
        print(evaluation.summary(workdir))
