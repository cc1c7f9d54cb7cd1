# SPDX-License-Identifier: Apache-2.0
"""What data were: kept with a run and with the parts of a table, compared when they go on."""

import glob
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.readers.folder import SUFFIXES as PICTURES
from astrojax.data.source import Source, has_column, read_example
from astrojax.data.split import split_hash
from astrojax.errors import UserError
from astrojax.files import read_json

_SAMPLE = 8  # images of each split whose pixels are hashed


_PARTS = {
    "examples": "number",
    "ids": "ids",
    "pixels": "pixels",
}
_FILES = {
    "files": "number of files",
    "sizes": "size of a file",
    "times": "time of change of a file",
}


def of(sources: Mapping[str, Source], section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fingerprint of data, as plain JSON.

    For every split: the number of examples, a hash of the ids in their order, a hash of the pixels
    of a few examples, and what was left out of the files, by reason. `split_hash` names the
    division into splits, whatever the order. `files` has the number of files, and hashes of their
    names with their sizes and with the times when they changed.

    Args:
        sources: The opened splits.
        section: The config section that opened them, whose files are looked up; it may name none.
    """
    splits = {name: _of_split(source) for name, source in sources.items()}
    named = all(has_column(source, "id") for source in sources.values())
    told = split_hash(sources) if named else None
    return {"split_hash": told, "splits": splits, "files": _of_files(section)}


def _of_files(section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the number, sizes and times of the files of a section; all read formats have some."""
    found: list[str] = []
    for part in (section, section.get("cutouts", {})):
        paths = part.get("path")
        named = list(paths.values()) if isinstance(paths, Mapping) else [paths]
        named.append(part.get("table"))
        if part.get("name") == "tfds":
            named.append(os.path.join(part["directory"], part["dataset"]))
        for path in named:
            found += _files(path, PICTURES if part.get("name") == "folder" else "") if path else []
    states = [(name, os.stat(name)) for name in sorted(found)]
    sizes = [(name, state.st_size) for name, state in states]
    times = [(name, state.st_mtime_ns) for name, state in states]
    return {"files": len(states), "sizes": _hash(str(sizes)), "times": _hash(str(times))}


def _files(path: str, suffixes: str | tuple[str, ...]) -> list[str]:
    """Returns the files that a config key `path` names: a file, folder, glob or FITS pattern."""
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        inside = [
            os.path.join(folder, name)
            for folder, folders, names in os.walk(path)
            for name in names
            if not name.startswith(".") and name.lower().endswith(suffixes)
        ]
        return [name for name in inside if os.sep + "." not in name.removeprefix(path)]
    if os.path.isfile(path):
        return [path]
    text = "*".join(map(glob.escape, re.split(r"\{\w+\}", path))) if "{" in path else path
    return [name for name in glob.glob(text) if os.path.isfile(name)]


def _of_split(source: Source) -> dict[str, Any]:
    size = len(source)
    rows = np.unique(np.linspace(0, size - 1, _SAMPLE).astype(int)).tolist() if size else []
    pixels = hashlib.sha256()
    for row in rows:
        try:
            image = np.ascontiguousarray(read_example(source, row).get("image", 0))
        except UserError:  # it is told where the image is needed
            continue
        pixels.update(image.tobytes())
    ids = np.asarray(source.column("id")) if has_column(source, "id") else np.arange(size)
    text = "\n".join(map(str, ids.tolist()))
    return {
        "examples": size,
        "ids": _hash(text),
        "pixels": pixels.hexdigest()[:16],
        "left_out": dict(source.info.left_out),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Returns what differs between two fingerprints, in words; None if nothing does."""
    for name in {**before["splits"], **now["splits"]}:
        old, new = before["splits"].get(name, {}), now["splits"].get(name, {})
        for key, text in _PARTS.items():
            if old.get(key) != new.get(key):
                return (
                    f"the {text} of the {name} examples is another ({old.get(key)} then, "
                    f"{new.get(key)} now)"
                )
    old, new = before.get("files", {}), now["files"]
    for key, text in _FILES.items():
        if old and old.get(key) != new[key]:
            return f"the {text} is another ({old.get(key)} then, {new[key]} now)"
    return None


def check(path: Path, data: Mapping[str, Any]) -> None:
    """Raises `UserError` if a run began on other data than these; says what changed.

    Args:
        path: The fingerprint that the run began with; nothing is compared if it was removed.
        data: The fingerprint of the data as they are.
    """
    if not path.is_file():
        return
    changed = difference(read_json(path), data)
    if changed:
        raise UserError(
            f"the data of {path.parent} have changed since it began: {changed}; give another "
            f"--workdir, or remove {path} to go on with the data as they are"
        )
