# SPDX-License-Identifier: Apache-2.0
"""Tables in text, in the dialects that people have: comma, semicolon, tab, bar or blanks.

What is a comment, a header and a separator is seen in the first lines; pandas reads the rest, as
text, in which numbers are seen when a column is asked for. So ids stay what was written: 007,
12E3, nan. ECSV, IPAC and CDS tables have types and go to astropy.
"""

import bz2
import csv
import dataclasses
import gzip
import io
import logging
import lzma
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.classes import MISSING_WORDS
from astrojax.data.native import to_native
from astrojax.errors import UserError

_MOST_COLUMNS = 10_000
_PROBED = 100  # values that are tried before the whole of a column
_HEAD = 1 << 18  # bytes in which the dialect is seen
_DELIMITERS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eEdD][-+]?\d+)?|[-+]?(nan|inf)|--|", re.I)
_WORD = re.compile(r"[^\s,;|#]+")
_NO_NUMBER = ("-", "..", "...", "null")  # beside MISSING_WORDS, in a column of numbers


@dataclasses.dataclass
class Text:
    """A table of which everything is text.

    Attributes:
        columns: {name: Arrow array of text}.
        size: Number of rows.
        units: {name: unit}, of those that have one.
    """

    columns: dict[str, Any]
    size: int
    units: dict[str, str]


@dataclasses.dataclass
class _Dialect:
    names: list[str]
    delimiter: str | None  # None: blanks
    first: int  # line of the first row
    units: dict[str, str]


def opened(file: Path) -> Any:
    """Opens a file that may be compressed (gzip, bzip2, xz), to be read as bytes."""
    with open(file, "rb") as raw:
        mark = raw.read(6)
    for start, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\x00", lzma)):
        if mark.startswith(start):
            return module.open(file, "rb")
    return open(file, "rb")


def read(file: Path) -> Any:
    """Returns a `Text`, or an astropy table of a format that has types.

    Raises:
        UserError: The file is no text, has no header, or lines of another length than the first.
    """
    with opened(file) as raw:
        data = raw.read()
    data, encoding = _decodable(data, file)
    lines = re.split(r"\r\n|\n|\r", data[:_HEAD].decode(encoding, "replace"))
    if len(data) > _HEAD:
        lines = lines[:-1]
    typed_format = _typed_format(lines)
    if typed_format:
        from astropy.table import Table

        return Table.read(data.decode(encoding), format=typed_format)
    dialect = _dialect(lines, file)
    return _read(data, encoding, dialect, file)


def typed(values: Any) -> np.ndarray:
    """Returns text as integers, else as floats, else as it is; words such as NULL are missing.

    Args:
        values: Arrow array of text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = _numbers(values)  # the usual case, in a third of the time
    if numbers is not None and not (pa.types.is_floating(numbers.type) and _has_nan(numbers)):
        return to_native(numbers, "")
    text = pc.utf8_trim_whitespace(values)
    words = pa.array((*MISSING_WORDS, *_NO_NUMBER), text.type)
    known = pc.if_else(pc.is_in(text, words), None, text)
    if known.null_count < len(known):
        for cleaned in (lambda t: t, _plain_numbers):
            numbers = _numbers(cleaned(known))
            if numbers is not None:
                return to_native(numbers, "")
    return as_text(text, missing=MISSING_WORDS)


def as_text(values: Any, *, missing: tuple[str, ...]) -> np.ndarray:
    """Returns text without blanks around it; some words are missing values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(values)
    return to_native(pc.if_else(pc.is_in(text, pa.array(missing, text.type)), None, text), "")


def _has_nan(numbers: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_nan(numbers)).as_py())


def _numbers(text: Any) -> Any:
    """Returns integers or floats, or None if there are others, or more digits than these hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first = text.slice(0, _PROBED)  # a cast that fails goes through all values nevertheless
    for kind in (pa.int64(), pa.uint64(), pa.float64()):
        try:
            first.cast(kind)
            numbers = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        if kind == pa.float64() and pc.all(pc.match_substring_regex(text, r"^-?\d{16,}$")).as_py():
            return None
        return numbers
    return None


def _plain_numbers(text: Any) -> Any:
    """Returns numbers as Arrow reads them: of +1, of 1.5D+3 as Fortran writes, and of 1,5."""
    import pyarrow.compute as pc

    text = pc.replace_substring_regex(text, r"^\+", "")
    text = pc.replace_substring_regex(text, r"^(-?[\d.]+)[dD]([-+]?\d+)$", r"\1e\2")
    return pc.replace_substring_regex(text, r"^(-?\d*),(\d+)$", r"\1.\2")


def _decodable(data: bytes, file: Path) -> tuple[bytes, str]:
    """Returns the text without a byte-order mark, in UTF-8 or Latin-1, and which of them."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\x00" in data[:_HEAD]:
        raise UserError(f"{file} is no table of a format that is known: it is not text either")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        logging.warning("%s is not UTF-8; it is read as Latin-1", file)
        return data, "latin-1"
    return data, "utf-8"


def _typed_format(lines: list[str]) -> str | None:
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("#") and "%ECSV" in first:
        return "ascii.ecsv"
    if first.startswith(("|", "\\")):
        return "ascii.ipac"
    if any("Byte-by-byte Description" in line for line in lines):
        return "ascii.cds"
    return None


def _dialect(lines: list[str], file: Path) -> _Dialect:
    """Returns how a text is to be read.

    Raises:
        UserError: It has nothing but comments, or numbers where the names should be.
    """
    rows = [i for i, line in enumerate(lines) if line.strip()]
    body = [i for i in rows if not lines[i].lstrip().startswith("#")]
    if not body:
        raise UserError(f"{file} has no rows, only {'comments' if rows else 'blank lines'}")
    before = [lines[i].lstrip()[1:] for i in rows if i < body[0]]
    numbered = _sextractor(before)
    if numbered:
        return _Dialect(numbered[0], None, body[0], numbered[1])
    delimiter = _delimiter([lines[i] for i in body[:50]])
    first = _fields(lines[body[0]], delimiter)
    names = _commented_header(before, first, delimiter)
    if names is None and len(body) > 1 or names is None and not all(map(_is_number, first)):
        names, body = first, body[1:]
        if all(map(_is_number, names)):
            raise UserError(f"the first line of {file} holds numbers, not the names of the columns")
    if names is None or not body:
        raise UserError(f"{file} has no rows under the names of its columns")
    if len(names) > _MOST_COLUMNS:
        raise UserError(f"{file} is no table: a line of it has {len(names)} columns")
    row = _fields(lines[body[0]], delimiter)
    return _Dialect(_named(names, row, file), delimiter, body[0], {})


def _delimiter(lines: list[str]) -> str | None:
    """Returns what separates most lines into the same number of values; None for blanks."""
    best, most = None, 1
    for mark in _DELIMITERS:
        rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)  # quoted lines are joined
        counts = [len(row) for row in rows]
        usual = max(set(counts), key=counts.count)
        if usual > most and counts.count(usual) >= len(counts) / 2:
            best, most = mark, usual
    return best


def _fields(line: str, delimiter: str | None) -> list[str]:
    line = line.strip() if delimiter is None else line.strip("\r\n")
    row = next(csv.reader([line], delimiter=delimiter or " ", skipinitialspace=True), [])
    return [field.strip() for field in row if delimiter or field]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None or text in MISSING_WORDS


def _commented_header(
    comments: list[str], first: list[str], delimiter: str | None
) -> list[str] | None:
    """Returns the names in the last comment, where they are one for each value of the first row."""
    if not comments:
        return None
    names = _fields(comments[-1].strip(), delimiter)
    if len(names) != len(first) or any(n and _is_number(n) for n in names):
        return None
    if any(v and _is_number(v) for v in first):
        return names
    one_word = all(_WORD.fullmatch(n) for n in names if n)
    return names if one_word and len(names) > 1 and len(set(names)) == len(names) else None


def _sextractor(comments: list[str]) -> tuple[list[str], dict[str, str]] | None:
    """Returns the names and units of a SExtractor header, `# 1 NUMBER Running number [unit]`."""
    found = [re.fullmatch(r"\s*(\d+)\s+(\S+)\s*(.*)", line) for line in comments]
    entries = [m for m in found if m]
    if not entries or [int(m[1]) for m in entries][0] != 1:
        return None
    names: list[str] = []
    units: dict[str, str] = {}
    for entry in entries:
        stem, begun = (names[-1] if names else ""), len(names)
        while names and len(names) < int(entry[1]) - 1:  # a vector: MAG_APER, MAG_APER_1, ...
            names.append(f"{stem}_{len(names) + 1 - begun}")
        names.append(entry[2])
        unit = re.search(r"\[(.+)\]\s*$", entry[3])
        units |= {entry[2]: unit[1]} if unit else {}
    return names, units


def _named(names: list[str], row: list[str], file: Path) -> list[str]:
    """Returns a name for each value of a row: what has none is `unnamed_N`, as pandas' index."""
    if len(row) == len(names) + 1:
        names = [*names, ""] if not row[-1] else ["", *names]
    if len(row) < len(names) and not names[-1]:
        names = names[:-1]
    found: list[str] = []
    for position, name in enumerate(names):
        name = name or f"unnamed_{position}"
        if name in found:
            again = next(f"{name}.{k}" for k in range(1, 999) if f"{name}.{k}" not in found)
            logging.warning("%s has two columns %s: the second is called %s", file, name, again)
            name = again
        found.append(name)
    return found


def _read(data: bytes, encoding: str, dialect: _Dialect, file: Path) -> Text:
    start = 0
    for _ in range(dialect.first):
        start = data.index(b"\n", start) + 1 if b"\n" in data else data.index(b"\r", start) + 1
    body = data[start:]
    if b"\n#" in body:
        kept = [line for line in body.splitlines(keepends=True) if not line.startswith(b"#")]
        dropped = body.count(b"\n#")
        logging.warning("%s: %d lines after the first row begin with #: left out", file, dropped)
        body = b"".join(kept)
    columns = _quickly(body, encoding, dialect)
    columns = _patiently(body, encoding, dialect, file) if columns is None else columns
    return Text(columns, len(next(iter(columns.values()))), dialect.units)


def _quickly(body: bytes, encoding: str, dialect: _Dialect) -> dict[str, Any] | None:
    """Returns columns as Arrow reads them; None for what it does not, or not as others do."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    mark = dialect.delimiter
    if mark is None or encoding != "utf-8" or f'{mark} "'.encode() in body:
        return None
    kinds = dict.fromkeys(dialect.names, pa.large_string())
    try:
        table = arrow.read_csv(
            pa.BufferReader(body),
            arrow.ReadOptions(column_names=dialect.names, use_threads=False),
            arrow.ParseOptions(delimiter=mark, newlines_in_values=b'"' in body),
            arrow.ConvertOptions(column_types=kinds),
        )
    except pa.ArrowInvalid:
        return None
    return {name: _whole(table.column(name)) for name in dialect.names}


def _patiently(body: bytes, encoding: str, dialect: _Dialect, file: Path) -> dict[str, Any]:
    """Returns columns as pandas reads them.

    Raises:
        UserError: A line has more values than there are columns.
    """
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.BytesIO(body),
                sep=dialect.delimiter or r"\s+",
                header=None,
                names=dialect.names,
                index_col=False,
                dtype="string[pyarrow]",
                na_filter=False,
                skipinitialspace=True,
                encoding=encoding,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise UserError(
            f"{file}: lines differ from the {len(dialect.names)} columns "
            f"{', '.join(dialect.names[:5])} ({reason})"
        ) from None
    return {name: _whole(frame[name]) for name in dialect.names}


def _whole(column: Any) -> Any:
    import pyarrow as pa

    array = column if isinstance(column, pa.ChunkedArray) else pa.array(column)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    return array.cast(pa.large_string()).fill_null("")
