# SPDX-License-Identifier: Apache-2.0
"""The file of labels given by hand: one line for each click, on disk before the next."""

import csv
import datetime
import fcntl
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from astrojax import files
from astrojax.errors import UserError

MAX_CLASSES = 9  # one key each
_HEADER = ("id", "label", "time")


class Entry(NamedTuple):
    """One line of the file: what was said of an object; the label is "" for a skipped one."""

    id: str
    label: str
    start: int  # byte at which the line begins


class LabelFile:
    """A CSV file (id, label, time in UTC) with one line for each click, on disk when it returns.

    Args:
        path: The file; one that exists is gone on with. A last line that was cut off by a power
            failure is removed.

    Raises:
        UserError: It is another file, or another process writes to it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        if not self.path.parent.is_dir():
            raise UserError(f"there is no folder {str(self.path.parent)!r} for {self.path.name}")
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UserError(f"another `astrojax label` is writing to {self.path}") from None
        except OSError:  # a file system without locks: one process is the user's care
            pass
        self.entries: list[Entry] = []
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "LabelFile":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _read(self) -> None:
        content = self.path.read_bytes()
        header = _line(_HEADER)
        if not content or (header.startswith(content) and content != header):
            os.ftruncate(self._file, 0)
            self._end = 0
            self._append(header)
            files.sync(self.path.parent)
            return
        if not content.startswith(header):
            raise UserError(
                f"{self.path} was not written by `astrojax label` (its first line is not "
                f"{','.join(_HEADER)}): give another --out"
            )
        self._end = content.rfind(b"\n") + 1
        os.ftruncate(self._file, self._end)
        start = len(header)
        for line in content[start : self._end].split(b"\n")[:-1]:
            cells = next(csv.reader([line.decode("utf-8", "replace")]), [])
            if len(cells) >= 2:
                self.entries.append(Entry(cells[0], cells[1].strip(), start))
            start += len(line) + 1

    def labels(self) -> dict[str, str]:
        """Returns the label of each object; "" for those that were skipped."""
        return {entry.id: entry.label for entry in self.entries}

    def add(self, key: str, label: str) -> None:
        """Appends a label, or "" for an object that was skipped.

        Raises:
            UserError: It cannot be written, e.g. the disk is full; the file is as before.
        """
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = Entry(key, label, self._end)
        self._append(_line((key, label, now)))
        self.entries.append(entry)

    def undo(self) -> Entry | None:
        """Removes the last line, and returns what it said; None where there is none."""
        if not self.entries:
            return None
        self._truncate(self.entries[-1].start)
        return self.entries.pop()

    def close(self) -> None:
        """Lets others write to the file."""
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        try:
            if os.pwrite(self._file, line, self._end) != len(line):
                raise OSError(28, "no space left")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None
        self._end += len(line)

    def _truncate(self, end: int) -> None:
        try:
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None
        self._end = end


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([" ".join(c.splitlines()) for c in cells])
    return text.getvalue().encode()


def check_classes(given: str | None, labels: Sequence[str]) -> tuple[str, ...]:
    """Returns the classes that keys stand for.

    Args:
        given: Names with commas between them; None for those that were used before.
        labels: Labels that the file has already.

    Raises:
        UserError: There are fewer than two, more than nine, one twice, or a label has no class.
    """
    used = list(dict.fromkeys(label for label in labels if label))
    classes = used if given is None else [name.strip() for name in given.split(",")]
    if len(classes) < 2:
        raise UserError("say which classes there are, two or more: --classes spiral,elliptical")
    if len(classes) > MAX_CLASSES:
        raise UserError(f"--classes has {len(classes)} names; there are keys for {MAX_CLASSES}")
    if "" in classes or len(set(classes)) < len(classes):
        raise UserError(f"--classes {given} has an empty name, or one twice")
    left = [name for name in used if name not in classes]
    if left:
        raise UserError(f"the file has labels {', '.join(left)}, which --classes lacks: add them")
    return tuple(classes)
