# SPDX-License-Identifier: Apache-2.0
"""The command line: `astrojax COMMAND`, one file per command.

A command's file has `parser()`, its flags, and `main(arguments)`, one call into the library.
"""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

import astrojax
from astrojax.cli import terminal

COMMANDS = {
    "preview": "show what a network would see of your data",
    "train": "train a recipe on your data, or what an experiment describes",
    "finetune": "train a pretrained network on labelled data of your own",
    "evaluate": "evaluate a trained run again, on its own or on other data",
    "predict": "make a table of predictions for images",
    "embed": "make a table of embeddings of images",
    "similar": "find the nearest neighbours of objects in a table of embeddings",
    "anomalies": "rank the objects of a table by how unusual they are",
    "cluster": "group the objects of a table by their embeddings",
    "label": "label objects in a browser, the most useful first",
    "explore": "write a page that shows a table of embeddings",
    "export": "write a trained model as a bundle, or its backbone for PyTorch",
    "stamps": "cut stamps around catalogue positions from aligned mosaics",
    "convert": "convert the data of an experiment to a TFDS data set",
}


def parser(command: str) -> argparse.ArgumentParser:
    """Returns the parser of a command."""
    return importlib.import_module(f"astrojax.cli.{command}").parser()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the first argument names; imports nothing that it does not need."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = given[0] if given else "--help"
    if first == "--version":
        print(astrojax.__version__)
    elif first in ("-h", "--help", "help"):
        print("usage: astrojax COMMAND [flags]; `astrojax COMMAND --help` lists the flags\n")
        for name, text in COMMANDS.items():
            print(f"  {name:<10}{text}")
    elif first in COMMANDS:
        terminal.catch_signals()
        importlib.import_module(f"astrojax.cli.{first}").main(given[1:])
    else:
        near = difflib.get_close_matches(first, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        print(
            f"error: there is no command {first!r}: {hint}commands are {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        sys.exit(2)
