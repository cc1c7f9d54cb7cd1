# SPDX-License-Identifier: Apache-2.0
"""What a table says of its images, which is data: it cannot open, write or run anything else.

A table of `astrojax embed` or `predict` keeps how its images are read, so that `similar`,
`anomalies` and `explore` show them. A table may come from anybody. So only the readers and keys
listed here are taken from one, and only files in its own folder, or below it, are opened because
it says so: places are relative to that folder, and symbolic links that leave it are not followed.
Everything else the user names with `--data`.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from astrojax import files
from astrojax.config import plain
from astrojax.errors import UserError

_PIXELS = frozenset({"info", "crop", "resize", "bad_pixels", "split"})
# Keys that say how the images of a file are read. None of them writes, fetches or follows links.
KEYS: dict[str, frozenset[str]] = {
    "fits": _PIXELS - {"resize"} | {"path", "hdus", "zero_points", "unreadable"},
    "folder": _PIXELS | {"path", "id_from", "others", "classes", "unreadable"},
    "galaxy10": frozenset({"path", "crop", "resize", "split"}),
    "hdf5": _PIXELS - {"resize"} | {"path", "columns", "layout", "sentinels", "label_thinning"},
    "lens_challenge": _PIXELS - {"info", "resize"}
    | {"path", "catalogue", "bands", "factors", "select", "missing"},
    "lens_fits": frozenset({"path", "members", "pixel_scale", "bad_pixels", "split"}),
    "npz": _PIXELS | {"path", "columns", "layout", "class_names", "classes", "others", "sentinels"},
    "parquet": _PIXELS
    | {"path", "columns", "shape", "layout", "classes", "sentinels", "label_thinning"},
    "tfds": frozenset({"directory", "dataset", "splits", "crop", "resize"}),
    "catalogue": frozenset(
        {"table", "cutouts", "columns", "match", "radius_arcsec", "position_unit", "unmatched"}
        | {"select", "classes", "others", "sentinels", "split"}
    ),
}
COMMON = frozenset({"name", "convert", "deredden", "composite"})  # of all readers
_PLACES = ("path", "directory", "table", "catalogue")
_CATALOGUES = {"catalogue": "table", "lens_challenge": "catalogue"}
_LARGEST = 4096  # side of an image, so that `resize` cannot ask for gigabytes
_WILD = ("*", "?", "[", "{")


def describe(section: Mapping[str, Any], split: str, folder: Path) -> str:
    """Returns what a table in `folder` keeps of the data section it was made of, as JSON.

    Keys that are not read back are left out, and places in the folder become relative to it.
    """
    return json.dumps(_kept(section, split, folder.resolve()))


def read(table: Path, told: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns the data section and the split that a table names; places are not yet looked at.

    Args:
        table: The table.
        told: Its metadata.

    Raises:
        UserError: It names none, or one that a table may not name.
    """
    if not isinstance(told, Mapping) or "data_section" not in told:
        raise UserError(
            f"{table} does not say where its images are (it was not made by `astrojax embed` or "
            "predict): say with --data which run has them, or give --no-sheet"
        )
    with files.reading(f"the metadata of {table}"):
        section, split = plain(json.loads(told["data_section"])), str(told.get("data_split", ""))
        _check(table, section)
    return section, split


def located(
    table: Path,
    section: Mapping[str, Any],
    *,
    images: Mapping[str, Any],
    catalogue: str | None,
) -> dict[str, Any]:
    """Returns a section of `read` with its places as absolute paths.

    Args:
        table: The table.
        section: The section.
        images: What the user says of the images, which comes first: {"path": ...} or the like.
        catalogue: Where the user says that the catalogue is, or None.

    Raises:
        UserError: A place is outside of the table's folder; the message names it.
    """
    folder, found = table.parent.resolve(), dict(section)
    said = dict(images) if "cutouts" not in section else {}
    if catalogue is not None and section["name"] in _CATALOGUES:
        place = os.path.abspath(os.path.expanduser(catalogue))
        said[_CATALOGUES[section["name"]]] = place
    for key in _PLACES:
        if key not in found or key in said:
            continue
        value, flag = found[key], "--data" if key in ("path", "directory") else "--catalogue"
        if isinstance(value, Mapping):
            found[key] = {k: v and _inside(table, folder, v, flag) for k, v in value.items()}
        else:
            found[key] = _inside(table, folder, value, flag)
    if "cutouts" in found:
        found["cutouts"] = located(table, found["cutouts"], images=images, catalogue=None)
    return found | said


def _kept(section: Mapping[str, Any], split: str, folder: Path) -> dict[str, Any]:
    if section["name"] == "catalogue" and not section.get("deredden"):
        if section.get("match", "id") == "id":  # the cutouts have the same ids: they are enough
            outer = {k: section[k] for k in ("convert", "composite") if section.get(k)}
            return _kept({**section["cutouts"], **outer}, split, folder)
    keys = KEYS.get(section["name"], frozenset()) | COMMON
    # What has the value None is the reader's default, or that of a key that is not there.
    found = {k: v for k, v in section.items() if k in keys and v is not None}
    for key in _PLACES:
        value = found.get(key)
        if isinstance(value, Mapping):  # a file for each split, of which one was read
            found[key] = {k: _relative(v, folder) for k, v in value.items() if k == split and v}
        elif isinstance(value, str):
            found[key] = _relative(value, folder)
    if "cutouts" in found:
        found["cutouts"] = _kept(found["cutouts"], split, folder)
    return found


def _relative(place: str, folder: Path) -> str:
    absolute = os.path.abspath(os.path.expanduser(place))
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    return os.path.relpath(real, folder) if Path(real).is_relative_to(folder) else absolute


def _check(table: Path, section: Any, nested: bool = False) -> None:
    """Raises `UserError` unless a section has only readers and keys that a table may name."""
    name = section.get("name") if isinstance(section, Mapping) else None
    if name not in KEYS or (nested and name == "catalogue"):
        raise UserError(
            f"{table} names the reader {str(name)[:80]!r}, which is not taken from a table: say "
            "with --data which run has its images, or give --no-sheet"
        )
    for key, value in section.items():
        if key not in KEYS[name] | COMMON and value is not None:
            raise UserError(
                f"{table} sets the key {str(key)[:80]!r} of the reader {name}, which is not taken "
                "from a table: say with --data which run has its images, or give --no-sheet"
            )
    for key in ("crop", "resize"):
        if isinstance(section.get(key), int | float) and section[key] > _LARGEST:
            raise UserError(f"{table}: {key} is {section[key]}; images have {_LARGEST} px at most")
    for band in section.get("info", {}).get("bands", ()):
        if os.sep in str(band):  # it is put into the names of files
            raise UserError(f"{table}: {str(band)[:80]!r} is no name of a band")
    if not str(section.get("dataset", "x")).replace("_", "").isalnum():
        raise UserError(f"{table}: {section['dataset']!r} is no name of a TFDS data set")
    if name == "catalogue":
        _check(table, section.get("cutouts"), nested=True)


def _inside(table: Path, folder: Path, place: Any, flag: str) -> str:
    """Returns a place as an absolute path.

    Raises:
        UserError: It, or what a symbolic link in it leads to, is outside of `folder`.
    """
    text = str(place)
    path = Path(os.path.normpath(folder / text))
    start = path  # of a pattern, the folder that is searched
    while any(mark in str(start.relative_to(start.anchor)) for mark in _WILD):
        start = start.parent
    if not path.is_relative_to(folder) or not start.resolve().is_relative_to(folder):
        raise UserError(
            f"{table} says that its images need {text[:300]}, and a table opens nothing outside of "
            f"its own folder: if that is right, give {flag} '{text[:300]}', else --no-sheet"
        )
    for link in _links(start):
        if not link.resolve().is_relative_to(folder):
            raise UserError(
                f"{link} leads out of the folder of {table}: say with {flag} where the images are, "
                "or give --no-sheet"
            )
    return str(path)


def _links(path: Path) -> Iterator[Path]:
    """Yields the symbolic links below a folder."""
    for folder, inner, names in os.walk(path):  # which follows none of them
        yield from (p for name in (*inner, *names) if (p := Path(folder, name)).is_symlink())
