# SPDX-License-Identifier: Apache-2.0
"""Science tables with units and provenance: Parquet, FITS or ECSV by the suffix of the file.

All three open in astropy with units (`Table.read`), FITS also in TOPCAT. They are written from
part files, one part in memory at a time, to a temporary file that takes the table's place when it
is complete.
"""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astrojax import files
from astrojax.errors import UserError
from astrojax.inference.integrity import check_ids
from astrojax.inference.table import from_arrow

SUFFIXES = (".parquet", ".fits", ".ecsv")
# Provenance under the eight letters that FITS allows.
_KEYWORDS = {
    "model": "MODEL",
    "model_hash": "MODHASH",
    "config_hash": "CFGHASH",
    "checkpoint": "CHECKPT",
    "astrojax": "AJVERS",
    "command": "COMMAND",
    "date": "DATE",
    "objects": "NOBJECT",
    "data": "DATADESC",
    "data_section": "DATASECT",
    "data_split": "DATASPLT",
}


def check_output(path: str | Path) -> Path:
    """Returns the path of a table to write.

    Raises:
        UserError: The suffix is none of `SUFFIXES`.
    """
    out = Path(path).expanduser()
    if out.suffix not in SUFFIXES:
        raise UserError(f"--out {path} has to end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    return out


def check_new(out: Path, *, overwrite: bool) -> Path:
    """The path of a file to write, if its folder exists and it does not, or may be replaced."""
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {str(out.parent)!r} to write {out.name} to")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: give another name, or --overwrite to replace it")
    return out


@contextlib.contextmanager
def new_files(*paths: Path, overwrite: bool) -> Iterator[None]:
    """Holds the right to write files, by a lock on the first; see `check_new` and `files.lock`.

    Raises:
        UserError: One exists and may not be replaced, or another process is writing them.
    """
    for path in paths:
        check_new(path, overwrite=overwrite)
    with files.lock(paths[0]):
        for path in paths:  # another process may have written it meanwhile
            check_new(path, overwrite=overwrite)
        yield


def write(
    parts: Sequence[Path],
    out: Path,
    meta: Mapping[str, str | int],
    *,
    count: int,
    remove: Path,
) -> None:
    """Joins part files, in order, to a table; a reader sees the whole of it or none.

    Args:
        parts: Parquet files with the same columns.
        out: The table; its suffix says the format.
        meta: Provenance, with the keys of `_KEYWORDS`.
        count: Objects that the parts have in all.
        remove: Folder of the parts, which goes when the table is there.

    Raises:
        UserError: It cannot be written, or does not have every object once.
    """
    writer = {".parquet": _parquet, ".fits": _fits, ".ecsv": _ecsv}[out.suffix]
    with files.atomic_write_all([out], remove=[remove]) as (temporary,):
        writer(parts, temporary, meta)
        check_ids(temporary, count)


def provenance(path: Path) -> dict[str, Any]:
    """The metadata that `write` put into a Parquet or FITS table; empty for other tables."""
    if path.suffix == ".fits":
        from astropy.io import fits

        header = fits.getheader(path, 1)
        return {key: header[word] for key, word in _KEYWORDS.items() if word in header}
    import pyarrow.parquet as pq

    return json.loads((pq.read_schema(path).metadata or {}).get(b"astrojax", b"{}"))


def _blocks(parts: Sequence[Path]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for part in parts:
        yield pq.read_table(part)


def _widths(parts: Sequence[Path]) -> dict[str, int]:
    """Letters of the longest entry of each column of text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = [f.name for f in pq.read_schema(parts[0]) if pa.types.is_string(f.type)]
    widths = dict.fromkeys(names, 1)
    for part in parts if names else ():
        for name, column in zip(names, pq.read_table(part, columns=names), strict=True):
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            widths[name] = max(widths[name], longest)
    return widths


def _astropy(block: Any, widths: Mapping[str, int], meta: Mapping[str, Any], rows: slice) -> Any:
    """Returns an astropy table of some rows of an Arrow table."""
    from astropy.table import Column, Table

    columns = []
    for field, column in zip(block.schema, block.columns, strict=True):
        values = from_arrow(column)
        if field.name in widths:
            values = values.astype(f"U{widths[field.name]}")
        told = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        columns.append(
            Column(
                values[rows],
                field.name,
                unit=told.get("unit") or None,
                description=told.get("description"),
            )
        )
    return Table(columns, meta=dict(meta), copy=False)


def _parquet(parts: Sequence[Path], out: Path, meta: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq
    from astropy.table.meta import get_yaml_from_table

    widths = _widths(parts)
    first = pq.read_table(parts[0])
    empty = _astropy(first, widths, meta, np.s_[:0])
    # What astropy's own writer adds, so that its reader finds units and metadata.
    told = {"table_meta_yaml": "\n".join(get_yaml_from_table(empty)), "astrojax": json.dumps(meta)}
    told |= {f"table::len::{name}": str(width) for name, width in widths.items()}
    schema = first.schema.with_metadata(told)
    with pq.ParquetWriter(out, schema) as writer:
        for block in _blocks(parts):
            writer.write_table(block.cast(schema))


def _ecsv(parts: Sequence[Path], out: Path, meta: Mapping[str, Any]) -> None:
    widths = _widths(parts)
    with open(out, "w", encoding="utf-8") as file:
        for i, block in enumerate(_blocks(parts)):
            text = io.StringIO()
            _astropy(block, widths, meta, np.s_[:]).write(text, format="ascii.ecsv")
            lines = text.getvalue().splitlines(keepends=True)
            header = sum(line.startswith("#") for line in lines) + 1  # and the names
            file.writelines(lines if i == 0 else lines[header:])


def _fits(parts: Sequence[Path], out: Path, meta: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq
    from astropy.io import fits

    widths = _widths(parts)
    empty = _astropy(pq.read_table(parts[0]), widths, {}, np.s_[:0])
    described = [_fits_column(column) for column in empty.columns.values()]
    rows = np.dtype([(c.name, kind) for c, kind in described])
    header = fits.BinTableHDU.from_columns([c for c, _ in described], nrows=0).header
    header["NAXIS2"] = sum(pq.read_metadata(part).num_rows for part in parts)
    header["EXTNAME"] = "OBJECTS"
    for i, column in enumerate(empty.columns.values(), 1):
        header[f"TCOMM{i}"] = _ascii(column.description or "")
    for key, value in meta.items():
        header[_KEYWORDS[key]] = _ascii(value) if isinstance(value, str) else value
    stream = fits.StreamingHDU(str(out), header)
    try:
        for block in _blocks(parts):
            table = np.empty(len(block), rows)
            for field, column in zip(block.schema, block.columns, strict=True):
                table[field.name] = _fits_values(from_arrow(column), rows[field.name])
            stream.write(table.view(np.uint8))
    finally:
        stream.close()


def _fits_column(column: Any) -> tuple[Any, Any]:
    """Returns the FITS column, and the type of its entries in a row."""
    from astropy.io import fits

    shape = column.dtype.subdtype[1] if column.dtype.subdtype else column.shape[1:]
    count = int(np.prod(shape))
    kinds = {"b": ("L", "u1"), "U": ("A", "S"), "i": ("K", ">i8"), "u": ("K", ">i8")}
    letter, kind = kinds.get(column.dtype.kind, ("D", ">f8"))
    if column.dtype in (np.float32, np.float16):
        letter, kind = "E", ">f4"
    if letter == "A":
        count = column.dtype.itemsize // 4
        kind = f"S{count}"
    unit = str(column.unit) if column.unit else None
    described = fits.Column(column.name, format=f"{count}{letter}", unit=unit)
    return described, (kind, shape) if shape else kind


def _fits_values(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    if values.dtype.kind == "b":
        return np.where(values, ord("T"), ord("F")).astype(np.uint8)
    if kind.kind == "S":
        return np.char.encode(values.astype(str), "ascii", "replace")
    return values


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
