# SPDX-License-Identifier: Apache-2.0
"""The last look at a table before it takes its place: every object is in it, once."""

import csv
from pathlib import Path

import numpy as np

from astrojax.data.native import to_native
from astrojax.errors import UserError


def check_ids(path: Path, count: int) -> None:
    """Reads the ids of a written table back.

    Args:
        path: A `.parquet`, `.fits`, `.ecsv` or `.vot` table with a column `id`.
        count: Objects that it has to have, each with an id of its own.

    Raises:
        UserError: Rows are missing or doubled, or two objects have come to have one id.
    """
    readers = {".parquet": _parquet, ".fits": _fits, ".ecsv": _ecsv, ".vot": _votable}
    ids = readers[path.suffix](path)
    different = len(np.unique(ids))
    if (len(ids), different) != (count, count):
        raise UserError(
            f"the table was written with {len(ids)} rows and {different} ids for {count} objects, "
            f"so it is not kept: {path.suffix} does not hold these ids, choose --out with another "
            "suffix"
        )


def _parquet(path: Path) -> np.ndarray:
    import pyarrow.parquet as pq

    return to_native(pq.read_table(path, columns=["id"]).column("id"), "id").astype(str)


def _fits(path: Path) -> np.ndarray:
    from astropy.io import fits

    with fits.open(path, memmap=True) as opened:
        return np.asarray(opened[1].data["id"]).astype(str)


def _ecsv(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        # As astropy reads it: what begins with # is a comment.
        rows = csv.DictReader((line for line in file if not line.startswith("#")), delimiter=" ")
        return np.array([row["id"] for row in rows])


def _votable(path: Path) -> np.ndarray:
    from astropy.io import votable

    return np.asarray(votable.parse_single_table(path).to_table()["id"]).astype(str)
