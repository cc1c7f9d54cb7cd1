# SPDX-License-Identifier: Apache-2.0
"""FITS tables written from part files, one part in memory at a time.

FITS has ASCII text without blanks at its end. A column that has other text is escaped as Python
does it (`unicode_escape`), so that two values never become one; a card `TESCn` says so.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.native import to_native

ESCAPE = "unicode_escape"
_NULL = np.iinfo(np.int64).min


class _Column:
    """What a column of all parts has to hold.

    Attributes:
        width: Letters of the longest text.
        escaped: Whether the text is escaped.
        nulls: Whether values are missing.
        highest: The largest integer.
    """

    def __init__(self) -> None:
        self.width, self.escaped, self.nulls, self.highest = 1, False, False, 0

    def add(self, values: np.ndarray) -> None:
        """Takes in the values of one part."""
        self.nulls |= bool(np.ma.getmaskarray(values).any())
        plain = np.ma.getdata(values)
        if plain.dtype.kind == "u":
            known = plain[~np.ma.getmaskarray(values)]
            self.highest = max(self.highest, int(known.max(initial=0)))
        if plain.dtype.kind == "U":
            escaped = escape(plain)
            self.escaped |= bool((escaped != plain).any())
            widest = escaped if self.escaped else plain
            self.width = max(self.width, escaped.dtype.itemsize // 4, widest.dtype.itemsize // 4)


def escape(text: np.ndarray) -> np.ndarray:
    """Returns text in printable ASCII that ends in no blank; `unescape` is the inverse."""

    def one(value: str) -> str:
        made = value.encode(ESCAPE).decode("ascii")
        return f"{made[:-1]}\\x20" if made.endswith(" ") else made

    found = [one(v) for v in text.ravel().tolist()]
    return np.array(found, str).reshape(text.shape) if found else text


def unescape(text: np.ndarray) -> np.ndarray:
    """Returns the text that `escape` was given."""
    found = [v.encode("ascii").decode(ESCAPE) for v in text.ravel().tolist()]
    return np.array(found, str).reshape(text.shape)


def write(parts: Sequence[Path], out: Path, meta: Mapping[str, str | int]) -> None:
    """Writes a table.

    Args:
        parts: Parquet files with the same columns, whose fields have unit and description.
        out: The file.
        meta: {keyword: value} of the header.
    """
    import pyarrow.parquet as pq
    from astropy.io import fits

    schema = pq.read_schema(parts[0])
    names = _distinct(schema.names)
    seen = [_Column() for _ in names]
    for part in parts:
        for column, values in zip(seen, pq.read_table(part).columns, strict=True):
            column.add(to_native(values, ""))
    first = pq.read_table(parts[0])
    described = [
        _column(name, to_native(values, name), column, field)
        for name, values, column, field in zip(names, first.columns, seen, schema, strict=True)
    ]
    rows = np.dtype([(c.name, kind) for c, kind in described])
    header = fits.BinTableHDU.from_columns([c for c, _ in described], nrows=0).header
    header["NAXIS2"] = sum(pq.read_metadata(part).num_rows for part in parts)
    header["EXTNAME"] = "OBJECTS"
    for i, (field, column) in enumerate(zip(schema, seen, strict=True), 1):
        header[f"TCOMM{i}"] = _ascii((field.metadata or {}).get(b"description", b"").decode())
        if column.escaped:
            header[f"TESC{i}"] = (ESCAPE, "text is escaped as in Python")
            logging.warning(
                "FITS has ASCII without blanks at the end only: %s is escaped (%s)",
                field.name,
                ESCAPE,
            )
    for key, value in meta.items():
        header[key] = _ascii(value) if isinstance(value, str) else value
    stream = fits.StreamingHDU(str(out), header)
    try:
        for part in parts:
            block = pq.read_table(part)
            table = np.empty(len(block), rows)
            for name, column, values in zip(names, seen, block.columns, strict=True):
                table[name] = _values(to_native(values, name), column)
            stream.write(table.view(np.uint8))
    finally:
        stream.close()


def _distinct(names: Sequence[str]) -> list[str]:
    """Returns names of which no two differ in the case of their letters alone, as FITS wants."""
    found: list[str] = []
    for name in names:
        taken = {n.lower() for n in found}
        new = name
        number = 2
        while new.lower() in taken:
            new, number = f"{name}_{number}", number + 1
        if new != name:
            logging.warning("FITS does not tell %s from its other case: it is %s", name, new)
        found.append(new)
    return found


def _column(name: str, values: np.ndarray, seen: _Column, field: Any) -> tuple[Any, Any]:
    """Returns the FITS column, and the type of its entries in a row."""
    from astropy.io import fits

    kind, shape = values.dtype.kind, values.shape[1:]
    count = int(np.prod(shape))
    unit = (field.metadata or {}).get(b"unit", b"").decode() or None
    keys: dict[str, Any] = {"unit": unit}
    if kind == "U":
        letter, entry, count = "A", f"S{seen.width}", count * seen.width
        if shape:
            keys["dim"] = str((seen.width, *shape[::-1]))
    elif kind == "b" and not seen.nulls:
        letter, entry = "L", "u1"
    elif kind == "b":  # a logical column has no null that astropy sees
        letter, entry, keys["null"] = "B", "u1", 255
    elif kind in "iu":
        letter, entry = "K", ">i8"
        if seen.highest > np.iinfo(np.int64).max:
            keys["bzero"] = 2**63
        if seen.nulls:
            keys["null"] = np.iinfo(np.int64).max if "bzero" in keys else _NULL
    else:
        single = values.dtype.itemsize <= 4
        letter, entry = ("E", ">f4") if single else ("D", ">f8")
    described = fits.Column(name, format=f"{count}{letter}", **keys)
    return described, (entry, shape) if shape else entry


def _values(values: np.ndarray, seen: _Column) -> np.ndarray:
    """Returns the values of a column as they stand in the file."""
    kind = values.dtype.kind
    if kind == "U":
        plain = np.ma.filled(values, "")
        return np.char.encode(escape(plain) if seen.escaped else plain, "ascii")
    if kind == "b" and seen.nulls:
        return np.ma.filled(values.astype(np.uint8), 255)
    if kind == "b":
        return np.where(values, ord("T"), ord("F")).astype(np.uint8)
    if kind in "iu" and seen.highest > np.iinfo(np.int64).max:
        missing, plain = np.ma.getmaskarray(values), np.ma.getdata(values).astype(np.uint64)
        shifted = (plain ^ np.uint64(2**63)).view(np.int64)
        return np.where(missing, np.iinfo(np.int64).max, shifted)
    if kind in "iu":
        return np.ma.filled(values.astype(np.int64), _NULL)
    return values


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
