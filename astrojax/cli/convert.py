# SPDX-License-Identifier: Apache-2.0
"""Converts the data of an experiment to a TFDS data set, once, to be read at full speed.

    astrojax convert --config experiments/pita.py --out ~/data --dataset candels

writes `~/data/candels/1.0.0` and prints the config section that reads it.
"""

import argparse
from collections.abc import Sequence

from astrojax import errors
from astrojax.cli import experiment, terminal
from astrojax.config import plain
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = experiment.parser("convert", __doc__)
    add = made.add_argument
    add("--out", required=True, metavar="FOLDER", help="TFDS data directory to write to")
    add("--dataset", required=True, metavar="NAME", help="name of the data set in it")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    terminal.start_log()
    with terminal.ending(errors.exit_process):
        _convert(experiment.parse(parser(), arguments))


def _convert(given: argparse.Namespace) -> None:
    if given.config is None:
        raise UserError("say whose data to convert, e.g. --config experiments/pita.py")
    from astrojax.data import split
    from astrojax.data.open import open_sources
    from astrojax.data.readers import tfds

    sources = open_sources(plain(given.experiment["data"]))
    path = tfds.convert(sources, given.out, given.dataset)
    for name, source in sources.items():
        print(f"{name}: {len(source)} examples")
    print(f"split {split.split_hash(sources)} written to {path}; read it with the config section")
    parts = ", ".join(f"{name!r}: {name!r}" for name in sources)
    print(
        f"data = {{'name': 'tfds', 'directory': {given.out!r}, 'dataset': {given.dataset!r}, "
        f"'splits': {{{parts}}}, 'crop': None, 'resize': None}}"
    )
