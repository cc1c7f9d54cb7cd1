# SPDX-License-Identifier: Apache-2.0
"""Science tables with units and provenance: Parquet, FITS, ECSV or VOTable by the file's suffix.

All four open in astropy with units (`Table.read`), and in TOPCAT but for vectors in Parquet. They
are written from part files, one part in memory at a time, to a temporary file that takes the
table's place when it is complete.
"""

import contextlib
import datetime
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import astrojax
from astrojax import files
from astrojax.data.native import to_native
from astrojax.errors import UserError
from astrojax.inference import fits_table
from astrojax.inference.integrity import check_ids

SUFFIXES = (".parquet", ".fits", ".ecsv", ".vot")
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


def check_columns(columns: Mapping[str, np.ndarray], out: Path) -> None:
    """Raises `UserError` if the format of a table cannot hold what the data have.

    Args:
        columns: Columns of the data, `id` among them.
        out: The table; its suffix says the format.
    """
    if out.suffix not in (".ecsv", ".vot"):
        return
    for name, values in columns.items():
        if values.dtype.kind == "U" and out.suffix == ".ecsv":
            broken = np.char.find(np.ma.filled(values, ""), "\n") >= 0
            if broken.any():
                raise UserError(f"column {name!r} has text of several lines: write .parquet")
    ids = columns["id"]
    if ids.dtype.kind == "U" and len(np.unique(np.char.strip(ids))) < len(np.unique(ids)):
        raise UserError(
            f"some ids differ in blanks at their ends alone, which readers of {out.suffix} drop: "
            "write .parquet or .fits"
        )


@contextlib.contextmanager
def new_files(*paths: Path, overwrite: bool) -> Iterator[None]:
    """Holds the right to write files or folders, by a lock on each; see `files.lock`.

    Args:
        *paths: What is to be written.
        overwrite: Whether what exists may be replaced.

    Raises:
        UserError: One exists and may not be replaced, its folder does not exist, or another process
            is writing it.
    """
    for out in paths:
        if not out.parent.is_dir():
            raise UserError(f"there is no folder {str(out.parent)!r} to write {out.name} to")
    with contextlib.ExitStack() as locks:
        # A kill may have come when a file had its name and the rest was not yet done: the lock
        # completes that, also where the file exists and nothing else is left to do.
        for out in paths:
            locks.enter_context(files.lock(out))
        for out in paths:
            if out.exists() and not overwrite:
                raise UserError(
                    f"{out} exists already: give another name, or --overwrite to replace it"
                )
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
    with files.atomic_write_all([out], remove=[remove]) as (temporary,):
        if out.suffix == ".fits":
            words = {_KEYWORDS[key]: value for key, value in meta.items()}
            fits_table.write(parts, temporary, words)
        else:
            writer = {".parquet": _parquet, ".ecsv": _ecsv, ".vot": _votable}[out.suffix]
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


def derived(source: Path, *, command: str, objects: int) -> dict[str, str | int]:
    """Returns the metadata of a table that is made of another: where its images are, and by what.

    Args:
        source: The other table, Parquet or FITS.
        command: The command line.
        objects: Rows of the new table.
    """
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)  # FITS dates are UTC
    return provenance(source) | {
        "astrojax": astrojax.__version__,
        "command": command,
        "date": now.isoformat(timespec="seconds"),
        "objects": objects,
    }


def _blocks(parts: Sequence[Path]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for part in parts:
        yield pq.read_table(part)


def _contents(parts: Sequence[Path]) -> tuple[dict[str, int], set[str]]:
    """Returns the letters of the longest entry of each column of text, and who has nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    widths: dict[str, int] = {}
    nulls = set()
    for block in _blocks(parts):
        for name, column in zip(block.column_names, block.columns, strict=True):
            inner = pc.list_flatten(column) if pa.types.is_nested(column.type) else column
            if pa.types.is_string(inner.type):
                longest = pc.max(pc.utf8_length(inner)).as_py() or 0
                widths[name] = max(widths.get(name, 1), longest)
            if inner.null_count:
                nulls.add(name)
    return widths, nulls


def _astropy(
    block: Any, contents: tuple[dict[str, int], set[str]], meta: Mapping[str, Any], rows: slice
) -> Any:
    """Returns an astropy table of some rows of an Arrow table."""
    from astropy.table import Column, MaskedColumn, Table

    widths, nulls = contents
    columns = []
    for field, column in zip(block.schema, block.columns, strict=True):
        values = to_native(column, field.name)[rows]
        if field.name in widths:
            values = values.astype(f"U{widths[field.name]}")
        told = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        kind = MaskedColumn if field.name in nulls else Column
        made = kind(
            values,
            field.name,
            unit=told.get("unit") or None,
            description=told.get("description"),
        )
        if values.dtype.kind in "iu" and field.name in nulls:
            limits = np.iinfo(values.dtype)
            made.fill_value = limits.min if values.dtype.kind == "i" else limits.max
        columns.append(made)
    return Table(columns, meta=dict(meta), copy=False)


def _parquet(parts: Sequence[Path], out: Path, meta: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq
    from astropy.table.meta import get_yaml_from_table

    contents = _contents(parts)
    first = pq.read_table(parts[0])
    empty = _astropy(first, contents, meta, np.s_[:0])
    # What astropy's own writer adds, so that its reader finds units and metadata.
    told = {"table_meta_yaml": "\n".join(get_yaml_from_table(empty)), "astrojax": json.dumps(meta)}
    told |= {f"table::len::{name}": str(width) for name, width in contents[0].items()}
    schema = first.schema.with_metadata(told)
    with pq.ParquetWriter(out, schema) as writer:
        for block in _blocks(parts):
            writer.write_table(block.cast(schema))


def _ecsv(parts: Sequence[Path], out: Path, meta: Mapping[str, Any]) -> None:
    contents = _contents(parts)
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        for i, block in enumerate(_blocks(parts)):
            text = io.StringIO()
            _astropy(block, contents, meta, np.s_[:]).write(text, format="ascii.ecsv")
            lines = text.getvalue().split("\n")
            header = next(k for k, line in enumerate(lines) if not line.startswith("#")) + 1
            if i == 0:
                file.write("\n".join(lines[:header]) + "\n")
            file.write("\n".join(map(_no_comment, lines[header:])))


def _no_comment(line: str) -> str:
    """Returns a line of values that does not begin as a comment does: such a value is quoted."""
    if not line.startswith("#"):
        return line
    value, blank, rest = line.partition(" ")
    return f'"{value}"{blank}{rest}'


_CELL_WITH_INFINITY = rb"<TD>[-+.0-9eaN ]*InF[-+.0-9eaNInF ]*</TD>"


def _votable(parts: Sequence[Path], out: Path, meta: Mapping[str, Any]) -> None:
    contents = _contents(parts)
    beyond: set[str] = set()  # integers that the longest of VOTable does not hold: as text
    for block in _blocks(parts):
        beyond |= {n for n in block.column_names if _highest(block[n]) > np.iinfo(np.int64).max}
    with open(out, "wb") as file:
        for i, block in enumerate(_blocks(parts)):
            for place, name in enumerate(block.column_names):
                block = _for_votable(block, place, name in beyond)
            widths = {**contents[0], **dict.fromkeys(beyond, 20)}
            table = _astropy(block, (widths, contents[1]), {}, np.s_[:])
            begin, rows, end = _votable_text(table, meta)
            file.write(begin + rows if i == 0 else rows)
        file.write(end)


def _highest(column: Any) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.max(column).as_py() or 0 if pa.types.is_uint64(column.type) else 0


def _for_votable(block: Any, place: int, as_text: bool) -> Any:
    """Returns a block with a column of integers in a type that VOTable has."""
    import pyarrow as pa

    field, column = block.schema.field(place), block.column(place)
    narrow = (pa.int8(), pa.uint16(), pa.uint32(), pa.uint64())
    if field.type not in narrow:
        return block
    kind = pa.string() if as_text else pa.int64()
    return block.set_column(place, field.with_type(kind), column.cast(kind))


def _votable_text(table: Any, meta: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]:
    """Returns a VOTable in three pieces: what precedes the rows, the rows, and what follows."""
    from astropy.io import votable

    for name in table.colnames:  # vectors of text have no form that every reader knows
        if table[name].dtype.kind == "U" and table[name].ndim > 1:
            raise UserError(f"column {name!r} is of lists of text: write .parquet or .ecsv")
    made = votable.from_table(table)
    for key, value in meta.items():
        made.infos.append(votable.tree.Info(name=key, value=str(value)))
    for field in made.get_first_table().fields:
        column = table[field.name]
        if hasattr(column, "mask") and column.dtype.kind in "iu":
            field.values.null = column.fill_value
    text = io.BytesIO()
    made.to_xml(text, tabledata_format="tabledata")
    begin, mark, rest = text.getvalue().partition(b"<TABLEDATA>\n")
    rows, last, end = rest.rpartition(b"    </TABLEDATA>")
    rows = re.sub(rb"[ ]*$", b"", rows)
    # Infinity as the standard has it; astropy's own spelling is none to TOPCAT.
    rows = re.sub(_CELL_WITH_INFINITY, lambda cell: cell[0].replace(b"InF", b"Inf"), rows)
    return begin + mark, rows, last + end
