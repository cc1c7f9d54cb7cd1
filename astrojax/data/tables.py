# SPDX-License-Identifier: Apache-2.0
"""Tables of other people: FITS, VOTable, Parquet, HDF5, NPZ, ECSV, CSV and ASCII.

A table is opened as a whole, and a column is converted when it is asked for, so that columns that
nobody wants cannot stop anything.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data import text_tables, untrusted, validate
from astrojax.data.native import missing_values, to_ids, to_native
from astrojax.errors import UserError
from astrojax.files import reading

_COMPRESSED = (".gz", ".bz2", ".xz", ".z")
_FORMATS = {
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".fits", ".fit", ".fts"), "fits"),
    **dict.fromkeys((".vot", ".votable", ".xml"), "votable"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), "hdf5"),
    ".npz": "npz",
}
_SIGNATURES = {
    b"PAR1": "parquet",
    b"SIMPLE  =": "fits",
    b"\x89HDF": "hdf5",
    b"PK\x03\x04": "npz",
    b"<?xml": "votable",
    b"<VOTABLE": "votable",
}


class TableFile:
    """A table in a file.

    Args:
        file: The file.
        columns: {name: what returns the column, as the file's library has it}.
        units: {name: unit}, of those that have one.
        untyped: Whether the columns are text in which numbers are still to be seen.

    Attributes:
        names: Names of the columns.
    """

    def __init__(
        self,
        file: Path,
        columns: Mapping[str, Callable[[], Any]],
        size: int,
        units: Mapping[str, str] | None = None,
        untyped: bool = False,
    ):
        self.where, self.names = file.name, list(columns)
        self._columns, self._size, self._units = columns, size, dict(units or {})
        self._untyped = untyped

    def __len__(self) -> int:
        return self._size

    def column(self, name: str) -> np.ndarray:
        """Returns a column as `astrojax.data.native` has it.

        Raises:
            UserError: There is no such column, or it cannot be represented.
        """
        values = self._columns[validate.key(name, self.names, self.where)]()
        return text_tables.typed(values) if self._untyped else to_native(values, name, self.where)

    def ids(self, name: str) -> np.ndarray:
        """Returns a column of ids: text, or integers where the file says that they are.

        Raises:
            UserError: There is no such column, or its values cannot be ids.
        """
        if self._untyped:
            values = self._columns[validate.key(name, self.names, self.where)]()
            return text_tables.as_text(values, missing=("",))
        return to_ids(self.column(name), name, self.where)

    def unit(self, name: str) -> str:
        """Returns the unit of a column; "" if the file says none."""
        return self._units.get(name, "")


def read_table(file: Path, hdu: int | str | None = None) -> TableFile:
    """Opens a table by its suffix, or by its first bytes.

    Args:
        file: The file.
        hdu: Which table, where a file has several: index or EXTNAME in FITS, path in HDF5, index
            or ID in a VOTable; None for the first.

    Raises:
        UserError: The file cannot be read as a table, or has no such table or no rows.
    """
    kind = _kind(file)
    try:
        found = _READERS[kind](file, hdu)
    except UserError:
        raise
    except Exception as error:  # readers of several packages, each with its own exceptions
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} cannot be read as a table ({reason})") from None
    if not found.names or not len(found):
        raise UserError(f"{file} is a table without {'rows' if found.names else 'columns'}")
    return found


def hdf5_columns(
    file: Any, prefix: str = "", *, follow_links: bool = False, above: tuple[Any, ...] = ()
) -> dict[str, Callable[[], np.ndarray]]:
    """Returns {name: what reads it} of the data sets in an HDF5 file or one of its groups.

    Data sets in groups are called `group/name`; fields of a data set of records, as PyTables
    writes them, `data set/field`. What is in other files is named, and refused when it is read.

    Args:
        file: The open file.
        prefix: The group; "" for the whole file.
        follow_links: Whether data sets in other files may be read.
        above: The groups that `prefix` lies in, which a link may lead back to.
    """
    import h5py

    found: dict[str, Callable[[], np.ndarray]] = {}
    group = file[prefix] if prefix else file
    for name in group:
        path = f"{prefix}/{name}" if prefix else str(name)
        inside = isinstance(group.get(name, getlink=True), h5py.HardLink)
        if inside and isinstance(group[name], h5py.Group):
            if group[name] not in (*above, group):
                around = (*above, group)
                found |= hdf5_columns(file, path, follow_links=follow_links, above=around)
        elif inside and group[name].dtype.names:
            for field in group[name].dtype.names:
                found[f"{path}/{field}"] = functools.partial(
                    _hdf5_values, file, path, field, follow_links
                )
        else:
            found[path] = functools.partial(_hdf5_values, file, path, None, follow_links)
    return found


def _hdf5_values(file: Any, path: str, field: str | None, follow_links: bool) -> np.ndarray:
    dataset = untrusted.hdf5_dataset(file, path, follow_links=follow_links)
    if field is None:
        return untrusted.read_hdf5(dataset)
    with reading(f"{Path(file.filename).name}: {path}"):
        return dataset.fields(field)[:]


def _kind(file: Path) -> str:
    suffixes = [s.lower() for s in file.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if not file.is_file():
        raise UserError(f"{file} is a folder, not a table")
    if not file.stat().st_size:
        raise UserError(f"{file} is empty")
    if suffixes and suffixes[-1] in _FORMATS:
        return _FORMATS[suffixes[-1]]
    with text_tables.opened(file) as raw:
        head = raw.read(512).lstrip()
    return next((k for mark, k in _SIGNATURES.items() if head.startswith(mark)), "text")


def _astropy(file: Path, table: Any) -> TableFile:
    columns = {name: functools.partial(table.__getitem__, name) for name in table.colnames}
    units = {n: str(table[n].unit) for n in table.colnames if getattr(table[n], "unit", None)}
    return TableFile(file, columns, len(table), units)


def _fits(file: Path, hdu: int | str | None) -> TableFile:
    from astropy.io import fits
    from astropy.table import Table

    with fits.open(file, memmap=False) as opened:
        tables = {i: h.name for i, h in enumerate(opened) if isinstance(h, fits.BinTableHDU)}
        tables |= {i: h.name for i, h in enumerate(opened) if isinstance(h, fits.TableHDU)}
        if not tables:
            raise UserError(f"{file} has no table, only images")
        chosen = _chosen(file, hdu, tables)
        # Nothing is masked but what TNULL says: NaN is NaN, and an empty text is one.
        table = Table.read(
            opened, format="fits", hdu=chosen, unit_parse_strict="silent", mask_invalid=False
        )
    return _astropy(file, table)


def _chosen(file: Path, wanted: int | str | None, tables: Mapping[Any, str]) -> Any:
    """Returns the key of the table wanted, by key or by name."""
    listed = ", ".join(f"{k} {v}".strip() for k, v in tables.items())
    if wanted is None:
        first = next(iter(tables))
        if len(tables) > 1:
            logging.warning(
                "%s has %d tables (%s): the first is read; data.hdu names another",
                file,
                len(tables),
                listed,
            )
        return first
    for key, name in tables.items():
        if str(wanted).lower() in (str(key).lower(), name.lower()):
            return key
    raise UserError(f"{file} has no table {wanted!r} (data.hdu); it has: {listed}")


def _votable(file: Path, hdu: int | str | None) -> TableFile:
    from astropy.io import votable

    with text_tables.opened(file) as raw:
        tables = list(votable.parse(raw, filename=str(file)).iter_tables())
    names = {i: t.ID or t.name or "" for i, t in enumerate(tables)}
    if not names:
        raise UserError(f"{file} has no table")
    return _astropy(file, tables[_chosen(file, hdu, names)].to_table(use_names_over_ids=True))


def _parquet(file: Path, hdu: int | str | None) -> TableFile:
    import pyarrow.parquet as pq

    untrusted.check_parquet(file)
    opened = pq.ParquetFile(file)
    schema = opened.schema_arrow
    columns = {n: functools.partial(_arrow, opened, n) for n in schema.names}
    said = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in schema}
    units = {name: unit for name, unit in said.items() if unit}
    return TableFile(file, columns, opened.metadata.num_rows, units)


def _arrow(opened: Any, name: str) -> Any:
    return opened.read(columns=[name]).column(0)


def _hdf5(file: Path, hdu: int | str | None) -> TableFile:
    import h5py

    opened = untrusted.open_hdf5(file)
    records: dict[str, str] = {}

    def visit(name: str, node: Any) -> None:  # of what is in this file: h5py follows no link here
        hidden = any(part.startswith(("_i_", "__")) for part in name.split("/"))
        if isinstance(node, h5py.Dataset) and node.dtype.names and not hidden:
            if not name.endswith(".__table_column_meta__"):
                records[name] = ""

    opened.visititems(visit)
    groups = {""}

    def enter(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group):
            groups.add(name)

    opened.visititems(enter)
    if hdu is not None and str(hdu).strip("/") in groups:
        return _parallel(file, opened, str(hdu).strip("/"))
    if not records:
        return _parallel(file, opened, "")
    path = _chosen(file, hdu, records)
    node = untrusted.hdf5_dataset(opened, path, follow_links=False)
    columns = {n: functools.partial(_hdf5_values, opened, path, n, False) for n in node.dtype.names}
    return TableFile(file, columns, len(node))


def _parallel(file: Path, opened: Any, group: str) -> TableFile:
    """Returns the data sets of one length in a group as a table."""
    sizes = {}
    for name in opened[group] if group else opened:
        path = f"{group}/{name}" if group else str(name)
        with contextlib.suppress(UserError):
            shape = untrusted.hdf5_dataset(opened, path, follow_links=False).shape
            sizes[str(name)] = shape[0] if shape else -1
    lengths = [length for length in sizes.values() if length >= 0]
    size = max(set(lengths), key=lengths.count) if lengths else 0
    columns = {
        name: functools.partial(_hdf5_values, opened, f"{group}/{name}", None, False)
        for name, length in sizes.items()
        if length == size
    }
    return TableFile(file, columns, size)


def _npz(file: Path, hdu: int | str | None) -> TableFile:
    with untrusted.open_npz(file) as archive:
        arrays = {n: untrusted.npz_array(archive, n, file.name) for n in archive.files}
    columns = {n: functools.partial(arrays.__getitem__, n) for n in arrays}
    return TableFile(file, columns, len(next(iter(arrays.values()), ())))


def _text(file: Path, hdu: int | str | None) -> TableFile:
    found = text_tables.read(file)
    if not isinstance(found, text_tables.Text):
        return _astropy(file, found)
    columns = {n: functools.partial(found.columns.__getitem__, n) for n in found.columns}
    return TableFile(file, columns, found.size, found.units, untyped=True)


_READERS: dict[str, Callable[[Path, int | str | None], TableFile]] = {
    "fits": _fits,
    "votable": _votable,
    "parquet": _parquet,
    "hdf5": _hdf5,
    "npz": _npz,
    "text": _text,
}


def selected(table: TableFile, limits: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Returns which rows have all values within (lowest, highest), [n]; missing ones are outside.

    Raises:
        UserError: There is no such column, or it holds text.
    """
    keep = np.ones(len(table), bool)
    for name, (low, high) in limits.items():
        values = table.column(name)
        if values.dtype.kind not in "iufb" or values.ndim != 1:
            raise UserError(f"{table.where}: data.select.{name} needs a column of numbers")
        plain = np.ma.getdata(values)
        keep &= (plain >= low) & (plain <= high) & ~missing_values(values)
    return keep
