# SPDX-License-Identifier: Apache-2.0
"""How a user would open each kind of file: the real readers and commands, all images read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import valid
from astropy.table import Table

from astrojax.errors import UserError

INFO = {**valid.INFO, "bands": ("g", "r")}
COLOR = {"bands": ("r", "g", "b"), "pixel_scale": None, "unit": "display"}


def _read(section: dict[str, Any]) -> None:
    from astrojax.data.open import open_sources

    for source in open_sources(section).values():
        for i in range(min(len(source), 20)):
            source[i]


def _hdf5(path: Path) -> None:
    _read({**valid.SECTION, "info": INFO, "path": str(path)})


def _galaxy10(path: Path) -> None:
    _read({"name": "galaxy10", "path": str(path)})


def _detected(path: Path) -> None:
    from astrojax.data import detect, stated

    name, place = detect.recognise(str(path), {})
    said = stated.of_file(name, place)
    section = {"name": name, "info": {**INFO, **said}}
    _read(section | detect.look(name, place, INFO["bands"], {}))


def _npz(path: Path) -> None:
    from astrojax.data import detect

    detect.look("npz", str(path), INFO["bands"], {})
    _read({"name": "npz", "path": str(path), "columns": {"image": "images"}, "info": INFO})


def _blob(path: Path) -> None:
    _read({"name": "npz", "path": str(path), "columns": {"image": "blob"}, "info": COLOR})


def _encoded(path: Path) -> None:
    _read({"name": "parquet", "path": str(path), "columns": {"image": "image"}, "info": COLOR})


def _folder(path: Path) -> None:
    _read({"name": "folder", "path": str(path), "info": COLOR})


def _fits(path: Path) -> None:
    from astrojax.data import detect

    place = f"{path}/{{id}}.fits"
    found = detect.look("fits", place, INFO["bands"], {})
    _read({"name": "fits", "info": {**INFO, "zero_point": None}} | found)


def _tfds(path: Path) -> None:
    from astrojax.data import detect

    found = detect.look("tfds", str(path), (), {})
    for name in detect.tfds_splits(found):
        _read({"name": "tfds", "splits": {"train": name}, **found})


def _catalogue(path: Path) -> None:
    from astrojax.data.tables import read_table

    table = read_table(path)
    for name in table.names:
        table.column(name)


def _bundle(path: Path) -> None:
    import astrojax

    model = astrojax.load(path)
    model.embed(valid.pixels())


def _weights(path: Path) -> None:
    from astrojax.interop import torch

    torch.read(path)


def _command(name: str, path: Path, *flags: str) -> None:
    import contextlib
    import importlib
    import io

    command = importlib.import_module(f"astrojax.cli.{name}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            command.main(["--table", str(path), *flags, "--overwrite"])
    except SystemExit as stopped:
        lines = [line for line in said.getvalue().splitlines() if line.startswith("error: ")]
        if stopped.code != 2 or len(lines) != 1:
            raise RuntimeError(f"status {stopped.code}: {said.getvalue()[-500:]}") from None
        raise UserError(lines[0].removeprefix("error: ")) from None


def _similar(path: Path) -> None:
    try:
        first = str(Table.read(path)["id"][1])
    except Exception:  # a damaged table, which the command is to name
        first = "1"
    _command("similar", path, "--id", first, "-n", "2", "--out", str(path.with_name("o.csv")))


def _anomalies(path: Path) -> None:
    _command("anomalies", path, "-k", "1", "--out", str(path.with_name("o.csv")))


def _explore(path: Path) -> None:
    out = str(path.with_name("o.html"))
    _command("explore", path, "--method", "pca", "--out", out)


OPENERS: dict[str, Callable[[Path], None]] = {
    name.removeprefix("_"): function
    for name, function in list(globals().items())
    if name.startswith("_") and callable(function) and name not in ("_read", "_command")
}


def outcome(opener: str, target: Path) -> tuple[str, str]:
    """Returns ("opens", ""), ("sentence", the message) or ("traceback", what was raised)."""
    return outcome_of(OPENERS[opener], target)


def outcome_of(function: Callable[[Path], None], target: Path) -> tuple[str, str]:
    """Returns the `outcome` of any function of a path."""
    try:
        with np.errstate(all="ignore"):
            function(target)
    except UserError as error:
        return "sentence", str(error)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return "opens", ""
