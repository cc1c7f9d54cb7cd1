# SPDX-License-Identifier: Apache-2.0
"""Tables of other people: FITS, Parquet, ECSV, CSV and ASCII, read by `astropy.table`."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.untrusted import check_parquet
from astrojax.errors import UserError
from astrojax.files import reading

_COLUMNS = 10_000  # of a text table; astropy takes minutes over more


def read_table(file: Path) -> Any:
    """Returns an `astropy.table.Table` from a file, by its suffix and its first lines.

    Raises:
        UserError: The file cannot be read as a table.
    """
    from astropy.table import Table

    suffix = file.suffixes[-2] if file.suffix == ".gz" and len(file.suffixes) > 1 else file.suffix
    with reading(file):
        if suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            check_parquet(file)
            columns = pq.read_table(file)
            arrays = {n: columns[n].to_numpy() for n in columns.column_names}
            return Table({n: a.astype(str) if a.dtype == object else a for n, a in arrays.items()})
        if suffix.lower() in (".fits", ".fit"):
            return Table.read(file, format="fits", unit_parse_strict="silent")
        return Table.read(file, **_ascii_format(file))


def _ascii_format(file: Path) -> dict[str, Any]:
    """How to read a text table: astropy's own guessing takes the first thing that parses."""
    with open(file, encoding="utf-8", errors="replace") as lines:
        head = [line.strip() for _, line in zip(range(500), lines, strict=False) if line.strip()]
    widest = max((max(line.count(","), len(line.split())) for line in head), default=0)
    if widest > _COLUMNS:
        raise UserError(f"{file} is no table: a line of it has {widest} columns")
    comments = [line for line in head if line.startswith("#")]
    body = [line for line in head if not line.startswith("#")]
    if comments and "%ECSV" in comments[0]:
        return {"format": "ascii.ecsv"}
    if comments and re.match(r"#\s*1\s+\S+", comments[0]):
        return {"format": "ascii.sextractor"}
    delimiter = "," if body and body[0].count(",") else None
    split_line = (lambda t: t.split(",")) if delimiter else str.split
    if comments and body and len(split_line(comments[-1].lstrip("# "))) == len(split_line(body[0])):
        numbers = [re.fullmatch(r"[-+.\deE]+|nan|", w.strip(), re.I) for w in split_line(body[0])]
        if any(numbers):
            rest = {"delimiter": delimiter} if delimiter else {}
            # The header is the last comment; earlier ones are prose.
            return {"format": "ascii.commented_header", "header_start": -1, **rest}
    if delimiter:
        return {"format": "ascii.csv", "comment": "#"}
    return {"format": "ascii.basic", "comment": "#"}


def column_values(column: Any) -> np.ndarray:
    """Returns a table column as an array; masked entries become NaN (text: empty)."""
    values = getattr(column, "value", column)
    mask = getattr(column, "mask", None)
    if mask is None or not np.any(mask):
        return np.asarray(values)
    plain = np.asarray(np.ma.getdata(values))
    if plain.dtype.kind in "iufb":
        return np.where(mask, np.nan, plain.astype(float))
    return np.where(mask, "", plain.astype(str))
