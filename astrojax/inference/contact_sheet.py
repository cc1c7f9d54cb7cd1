# SPDX-License-Identifier: Apache-2.0
"""Lists of objects of a table, and contact sheets of the images that the table was made of."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from astrojax import files
from astrojax.data import detect
from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities
from astrojax.files import write_csv
from astrojax.inference import inputs, table_metadata, writers
from astrojax.inference.inputs import Opened


def places(given: argparse.Namespace) -> list[Path]:
    """Returns where the list and, if wanted, the sheet go; options of `cli.add_listing`.

    Raises:
        UserError: The list is no `.csv`.
    """
    out = Path(given.out).expanduser()
    if out.suffix != ".csv":
        raise UserError(f"--out {given.out} has to end in .csv")
    return [out] if given.no_sheet else [out, out.with_suffix(".png")]


def write_listing(out: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Writes the columns [n]; vectors [n k] are left to the table they come from."""
    write_csv(out, {k: v.tolist() for k, v in columns.items() if v.ndim == 1})


def images_of(
    table: Path, data: str | None, catalogue: str | None = None, *, optional: bool = True
) -> Opened:
    """Returns the data that a table was made of.

    Args:
        table: A table with provenance; see `table_metadata` for what it may say.
        data: Where the images are, if not in the table's folder: the same file, folder or pattern,
            or the run whose data they are.
        catalogue: The catalogue that they were matched with, if not in the table's folder.
        optional: Whether the command can do without, by --no-sheet.

    Raises:
        UserError: The table does not say how they are read, or they are not there.
    """
    if data is not None and (Path(data).expanduser() / "config.json").is_file():
        run = str(Path(data).expanduser())
        with files.reading(f"the metadata of {table}"):
            split = writers.provenance(table).get("data_split")
        return inputs.reopen(inputs.own_section(run), split, f"the data of {run}")
    with files.reading(f"the metadata of {table}"):
        told = writers.provenance(table)
    section, split = table_metadata.read(table, told)
    try:
        with files.reading(f"the images of {table}"):
            moved = {} if data is None else _moved(section.get("cutouts", section), split, data)
            section = table_metadata.located(table, section, images=moved, catalogue=catalogue)
            return inputs.reopen(section, split, data or f"the data of {table.name}")
    except UserError as error:
        if "--no-sheet" in str(error):
            raise
        raise UserError(
            f"{error}; the images of {table} are wanted: say with --data where they are"
            + (", or give --no-sheet" if optional else "")
        ) from None


def _moved(images: Mapping[str, Any], split: str, data: str) -> dict[str, Any]:
    """Returns the keys of the images' section that say where they are, as the user says it."""
    place = os.path.abspath(os.path.expanduser(data))
    if images["name"] == "tfds":
        found = detect.look("tfds", place, (), {})
        return {key: found[key] for key in ("directory", "dataset")}
    if images["name"] in ("fits", "parquet") and os.path.isdir(place):
        _, place = detect.recognise(place, {})
    return {"path": {split: place} if isinstance(images.get("path"), Mapping) else place}


def sheet(
    opened: Opened,
    ids: np.ndarray,
    captions: Sequence[str],
    path: Path,
    *,
    per_row: int,
    title: str,
) -> Path:
    """Writes a PNG of the images of some objects, each with its caption.

    Raises:
        UserError: An object is not in the data.
    """
    source = opened.source
    asked = SimpleNamespace(id=np.asarray(ids).astype(np.asarray(source.column("id")).dtype))
    stamps = quantities.stamps(asked, source, np.arange(len(ids)))
    pictures = plots.rgb(stamps, source.info.bands, source.info.unit)
    return plots.contact_sheet(pictures, captions, path, per_row=per_row, title=title)
