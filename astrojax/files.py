# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all and survive a power cut, and files of strangers."""

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from astrojax.errors import UserError

# What a spreadsheet takes for a formula (OWASP, "CSV Injection").
_FORMULA = re.compile(r"[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it when the block ends without an error.

    A reader sees the old file or the new one, never half of one. The file and its folder are
    flushed to the disk (fsync) before and after the rename. The temporary name keeps the suffix,
    by which some writers choose a format.

    Args:
        path: The file to write; its folder is made if it does not exist.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Writes text in UTF-8, whole or not at all.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    with atomic_write(path) as temporary:
        # The name of a file that is no UTF-8 has characters that cannot be written.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Writes indented JSON, whole or not at all.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    return write_text(path, json.dumps(value, indent=2) + "\n")


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reading(what: str | Path) -> Iterator[None]:
    """Makes one sentence of whatever a library raises when it reads a damaged or hostile file.

    To be put around the calls of other packages' parsers, whose exceptions are of many kinds.

    Args:
        what: The file, as the message is to name it.

    Raises:
        UserError: The block raised anything but a `UserError`, which is passed on.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if not reason or not isinstance(error, OSError | ValueError):
            reason = f"{type(error).__name__}: {reason}"
        raise UserError(f"{what} cannot be read ({reason})") from error


def write_csv(path: str | Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes parallel columns as CSV, whole or not at all.

    Floats have six significant digits. Text that a spreadsheet would run as a formula gets an
    apostrophe before it; numbers, also those that are stored as text, stay as they are.

    Args:
        path: The file.
        columns: {name: values [n]}.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(_cell, columns))
    for row in zip(*columns.values(), strict=True):
        writer.writerow(map(_cell, row))
    return write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    # NumPy's float32 is no Python float, but formats as one.
    if isinstance(value, float) or type(value).__name__.startswith("float"):
        return f"{value:.6g}"
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if isinstance(text, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
