# SPDX-License-Identifier: Apache-2.0
"""Files written whole or not at all, by one writer, and files of strangers, read with care."""

import contextlib
import csv
import datetime
import errno
import io
import json
import logging
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from astrojax.errors import UserError

# What a spreadsheet takes for a formula (OWASP, "CSV Injection").
_FORMULA = re.compile(r"[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_GONE = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_POLL = 0.2  # seconds


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it when the block ends without an error.

    A reader sees the old file or the new one, never half of one. The file and its folder are
    flushed to the disk (fsync) before and after the rename. The temporary name keeps the suffix,
    by which some writers choose a format. A folder may be written in the same way.

    Args:
        path: The file or new folder to write; its own folder is made if it does not exist.

    Raises:
        UserError: The disk is full, read-only or gone.
    """
    with atomic_write_all([Path(path)]) as (temporary,):
        yield temporary


@contextlib.contextmanager
def atomic_write_all(
    paths: Sequence[Path], *, remove: Sequence[Path] = ()
) -> Iterator[tuple[Path, ...]]:
    """Yields a temporary path for each path, and renames them together; see `atomic_write`.

    Where there are several, or something to remove afterwards, a note of what is to be done lies
    beside the first path meanwhile: the next `lock` on that path completes what a kill interrupted.

    Args:
        paths: The files or new folders to write.
        remove: What is no longer needed once they are there.

    Raises:
        UserError: The disk is full, read-only or gone.
    """
    temporaries = tuple(map(_temporary, paths))
    note = _note(paths[0])
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporaries
        for temporary in temporaries:
            for inner in sorted(temporary.rglob("*")) if temporary.is_dir() else ():
                sync(inner)
            sync(temporary)
        # Relative to the note: the disk may come back under another name.
        old, new, gone = (
            [os.path.relpath(path, note.parent) for path in group]
            for group in (temporaries, paths, remove)
        )
        todo = {"rename": list(zip(old, new, strict=True)), "remove": gone}
        if len(new) > 1 or gone:
            write_json(note, todo)
        _complete(todo, note)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or disk_error(error):
            raise cannot_write(paths[0], error) from error
        raise
    finally:
        if not note.exists():  # else the temporary files are still needed
            for temporary in temporaries:
                _remove(temporary)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")


def _unfinished(path: Path) -> list[Path]:
    """Returns what writers of a path left under temporary names, and writers of those."""
    # The number is matched: `.a.b.7.partial.csv` is of `a.b.csv`, not of `a.csv`.
    left = re.compile(rf"\.?{_pattern(path)}(\.parts|\.complete|\.lock)?")
    return [p for p in path.parent.iterdir() if left.fullmatch(p.name)]


def _pattern(path: Path) -> str:
    return rf"\.{re.escape(path.stem)}(\.\d+\.partial)+{re.escape(path.suffix)}"


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.complete")


def _complete_interrupted(path: Path) -> None:
    """Does what the note beside a path says, if it is one that `atomic_write_all` can have left.

    A note may have come with a stranger's folder: it moves temporary files of this path to names
    that begin as its own does, and removes nothing but the path's parts.
    """
    note = _note(path)
    if not note.is_file():
        return
    try:
        todo = json.loads(note.read_text(encoding="utf-8"))
        ours = all(name == f".{path.name}.parts" for name in todo["remove"]) and all(
            Path(new).name == new
            and new.startswith(path.stem)
            and re.fullmatch(_pattern(Path(new)), old)
            for old, new in todo["rename"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        ours = False
    if ours:
        _complete(todo, note)
    else:
        logging.warning("%s is damaged, or was not left by astrojax: it is removed", note)
        _remove(note)


def _complete(todo: Mapping[str, Any], note: Path) -> None:
    """Renames and removes what is left to rename and remove, then forgets the note."""
    for temporary, path in todo["rename"]:
        if (note.parent / temporary).is_dir():  # no rename replaces a folder that has files
            _remove(note.parent / path)
        with contextlib.suppress(FileNotFoundError):  # done before a kill
            os.replace(note.parent / temporary, note.parent / path)
        sync((note.parent / path).parent)
    for path in todo["remove"]:
        _remove(note.parent / path)
    note.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Writes text in UTF-8, whole or not at all.

    Raises:
        UserError: The disk is full, read-only or gone.
    """
    with atomic_write(path) as temporary:
        # The name of a file that is no UTF-8 has characters that cannot be written.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Writes indented JSON, whole or not at all.

    Raises:
        UserError: The disk is full, read-only or gone.
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


def _remove(path: Path) -> None:
    """Removes a file or a folder, as far as that can be done."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def disk_error(error: BaseException) -> int:
    """Returns the error number of a full, read-only or lost disk; 0 if the error is another one.

    Libraries put the system's words into errors of their own (HDF5, safetensors, TensorStore), so
    these are looked for in the text.
    """
    numbers = (*_FULL, *_CLOSED, *_GONE)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        text = str(error)
        number = next((n for n in numbers if os.strerror(n) in text), 0)
    return number if number in numbers else 0


def cannot_write(path: Any, error: BaseException) -> UserError:
    """Returns the one sentence for something that could not be written: what, why, and the remedy.

    Args:
        path: What was to be written; None where the error does not tell.
        error: What was raised.
    """
    number = disk_error(error)
    why = os.strerror(number) if number else getattr(error, "strerror", None) or error
    remedy = "see that its folder can be written to"
    if number in _FULL:
        remedy = "make room there"
    elif number in _CLOSED:
        remedy = "make that place writable, or name another one"
    elif number in _GONE:
        remedy = "bring that disk back"
    return UserError(
        f"cannot write {path or 'a file'}: {why}; {remedy} and give the same command again, which "
        "goes on with what is left"
    )


@contextlib.contextmanager
def lock(target: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Holds the right to write a file or folder, which one process has at a time.

    The lock is one of the operating system on the hidden file `.<name>.lock` beside the target, so
    it ends with the process that holds it, however that ends. Who only reads needs none. What
    earlier writers that were killed left under temporary names is completed or removed.

    Args:
        target: The file or folder, which need not exist.
        wait: Whether to wait until another process has released it.

    Raises:
        UserError: Another process holds it (which one is said), or its file cannot be written.
    """
    place = Path(target).expanduser()
    # A link to a folder is another name of it; a link to a file is what a rename replaces.
    real = os.path.realpath(place if place.is_dir() else place.parent)
    place = Path(real) if place.is_dir() else Path(real) / place.name
    path = place.with_name(f".{place.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path, target, wait)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        _complete_interrupted(place)
        # Of a folder in it, such as the bundle in a run's, another process may hold the lock.
        inside = (p for p in place.glob(".*.partial*") if p.is_symlink() or not p.is_dir())
        for left in (*_unfinished(place), *inside):
            _remove(left)
        yield
    finally:
        _remove(path)  # before it is released: the next holder makes its own
        os.close(descriptor)


def _acquire(path: Path, target: str | Path, wait: bool) -> int:
    """Returns the descriptor of a lock file that this process holds."""
    from filelock import lock_descriptor

    told = False
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o666)
        try:
            held = lock_descriptor(descriptor, blocking=False)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            logging.warning(
                "%s: this file system has no locks (%s): see to it that one command at a time "
                "writes there",
                target,
                error.strerror,
            )
            return descriptor
        if held and _is(descriptor, path):
            _sign(descriptor)
            return descriptor
        holder = "" if held else _holder(descriptor)
        os.close(descriptor)
        if holder and not wait:
            raise UserError(
                f"{target} is being written by {holder}: wait until it has ended, or stop it, and "
                "give the same command again"
            )
        if holder and not told:
            logging.info("%s is being written by %s: waiting for it", target, holder)
            told = True
        time.sleep(_POLL if holder else 0)


def _is(descriptor: int, path: Path) -> bool:
    """Returns whether an open file is still the one at a path, which its last holder removes."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Writes into a lock file who holds it; a full disk does not matter here."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _holder(descriptor: int) -> str:
    """Returns who holds a lock file, in words."""
    try:
        signed = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {signed['pid']} on {signed['host']} since {signed['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not signed yet
        return "another process"
