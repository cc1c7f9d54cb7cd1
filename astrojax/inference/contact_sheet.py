# SPDX-License-Identifier: Apache-2.0
"""Lists of objects of a table, and contact sheets of the images that the table was made of."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from astrojax.config import plain
from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities
from astrojax.evaluate.report import write_csv
from astrojax.inference import inputs, writers
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


def images_of(table: Path, data: str | None) -> Opened:
    """Returns the data that a table was made of.

    Args:
        table: A table with provenance.
        data: Another place of the same file or folder, where they have moved; or None.

    Raises:
        UserError: The table does not say, or the data are no longer there.
    """
    told = writers.provenance(table)
    if "data_section" not in told:
        raise UserError(
            f"{table} does not say where its images are (it was not made by `astrojax embed` or "
            "predict): give --no-sheet"
        )
    section = plain(json.loads(told["data_section"]))
    if data is not None:
        images = section.get("cutouts", section)
        if "path" not in images:
            raise UserError(
                f"--data moves a file or folder, and {table} was made of {told['data']}"
            )
        images["path"] = str(Path(data).expanduser().absolute())
    try:
        return inputs.reopen(section, told["data_split"], told["data"])
    except UserError as error:
        raise UserError(
            f"{error}; the images of {table} are wanted for the sheet: say with --data where they "
            "are now, or give --no-sheet"
        ) from None


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
