# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and survive a power cut."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astrojax.errors import UserError


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
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Writes indented JSON, whole or not at all.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    return write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: str | Path) -> Any:
    """Returns what a JSON file holds.

    Raises:
        UserError: There is no such file, or it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})") from None


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
