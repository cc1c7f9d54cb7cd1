# SPDX-License-Identifier: Apache-2.0
"""What the studies share: experiments as dicts, tables of runs, one line for a user's mistake."""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astrojax import distributed, files
from astrojax.cli import terminal
from astrojax.config import plain
from astrojax.errors import UserError

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for the experiments


def run(main: Callable[[], None]) -> None:
    """Runs a study: its progress on the terminal, and a user's mistake as one line."""
    terminal.start_log(times=True)
    distributed.enable_compilation_cache()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")


def experiment(name: str, variant: str = "") -> dict[str, Any]:
    """Returns the config of `experiments/<name>.py`."""
    return plain(importlib.import_module(name).get_config(variant))


def transfer(**keys: Any) -> dict[str, Any]:
    """Returns the config of any combination of `experiments/transfer.py`."""
    return plain(importlib.import_module("transfer").transfer(**keys))


def summarise(rows: Sequence[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of every number, for each value of `keys`.

    Args:
        rows: One for each run, with a `seed`; a row may lack numbers that others have.
        *keys: Entries that tell runs of one kind from those of another.

    Returns:
        For each kind the keys, `runs`, and every number with its standard deviation (ddof 1; NaN
        for a single run) beside it as `<number>_std`.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    found = []
    for values, same in groups.items():
        line = dict(zip(keys, values, strict=True)) | {"runs": len(same)}
        for name in dict.fromkeys(name for row in same for name in row):
            numbers = [row[name] for row in same if isinstance(row.get(name), int | float)]
            if name not in (*keys, "seed") and numbers:
                line[name] = float(np.mean(numbers))
                line[f"{name}_std"] = float(np.std(numbers, ddof=1)) if numbers[1:] else np.nan
        found.append(line)
    return found


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes a CSV, whole or not at all; what a row lacks is empty.

    Raises:
        UserError: It cannot be written.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_csv(path, {name: [row.get(name, "") for row in rows] for name in names})
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
