# SPDX-License-Identifier: Apache-2.0
"""From a path and what the user says of it to the config section `data` that opens it.

    --data cutouts/ --set bands=g,r,z --set unit=nanomaggies
    --data "cutouts/{id}_{band}.fits" --set bands=g,r,z --set catalogue=cat.fits
    --data stamps.h5 --set layout=nchw --set columns.redshift=zspec --set split=stratified:label
    --data hdf5 --set path=stamps.h5 ...        (any reader of `astrojax.data` by its name)

The reader follows from what the path is (`detect.py`). What the pixels are, `bands`, `unit`,
`zero_point` and `pixel_scale`, is read from the files where they say it, and asked for where they
do not.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from astrojax.config import plain
from astrojax.data import detect, split, stated
from astrojax.data.columns import STANDARD
from astrojax.errors import UserError

PIXELS = ("bands", "unit", "zero_point", "pixel_scale", "noise", "extinction")
"""Keys that say what the pixels are; they go to the section `data.info`."""

Describe = Callable[[dict[str, Any], str], dict[str, Any]]
"""From what the user and the files say of the pixels, and the reader, to the section `info`."""


def build(
    where: str,
    settings: Mapping[str, Any],
    *,
    describe: Describe,
    inputs: Iterable[str] = (),
    every_column: bool,
    splits: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Returns the section `data` of files that have none yet.

    Args:
        where: A file, a folder, a pattern of FITS files, or the name of a reader.
        settings: Keys of the reader or of the pixels, `a.b` in a nested section; `catalogue` joins
            a table.
        describe: Makes the section `info`.
        inputs: Columns that a model takes beside the image.
        every_column: Whether columns of one value for each object are taken under their own names,
            beside those of well-known names.
        splits: Takes the section of a TFDS data set and returns its splits.

    Raises:
        UserError: No such data, or something about them that is not said; the message names it.
    """
    keys = dict(settings)
    # Those that are named come beside those that the files show.
    keys |= {f"columns.{name}": column for name, column in keys.pop("columns", {}).items()}
    pixels = {name: keys.pop(name) for name in PIXELS if name in keys}
    if "bands" in pixels:
        bands = pixels["bands"]
        bands = bands.split(",") if isinstance(bands, str) else bands
        pixels["bands"] = tuple(map(str, bands if isinstance(bands, list | tuple) else (bands,)))
    table = keys.pop("catalogue", keys.pop("table", None))
    name, path = detect.recognise(where, keys)
    section: dict[str, Any] = {"name": name}
    if "info" in detect.parameters(name):
        said = stated.of_file(name, path) if path else {}
        section["info"] = describe(said | pixels, name)
    section |= detect.look(name, path, section.get("info", {}).get("bands", ()), keys)
    if name == "tfds":
        section["splits"] = splits(section)
    elif every_column and "columns" in section:
        section["columns"] |= _new(detect.scalar_columns(name, path), section["columns"])
    inner = section
    if table is not None:
        outer = [k for k in keys if detect.belongs_to_catalogue(k)]
        section = detect.catalogue(
            str(table), inner, inputs, every_column=every_column, hdu=keys.get("hdu")
        )
        for key in outer:
            put(section, key, keys.pop(key))
    for key, value in keys.items():
        put(inner, key, value)
    return section


def _new(names: Iterable[str], columns: Mapping[str, Any]) -> dict[str, str]:
    """Returns {name: name} of the columns of a file that are not taken yet."""
    taken = {n for v in columns.values() for n in ((v,) if isinstance(v, str) else v or ())}
    return {n: n for n in names if n not in taken and n not in columns and n != "image"}


def parse(settings: Sequence[str]) -> dict[str, Any]:
    """Returns {key: value} of "key=value"; values are JSON, text, or several with commas.

    Raises:
        UserError: One of them is not of this form.
    """
    found = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UserError(f"--set {text} is not key=value")
        none = key.strip() == "split" and value.strip() == "none"  # is a kind of split
        found[key.strip()] = "none" if none else _value(value.strip())
    return found


def _value(text: str) -> Any:
    try:
        return plain(json.loads(text))
    except ValueError:
        pass
    if "," in text and not text.startswith(("{", "[")):
        return tuple(_value(part.strip()) for part in text.split(",") if part.strip())
    return {"none": None, "true": True, "false": False}.get(text.lower(), text)


def put(section: dict[str, Any], key: str, value: Any) -> None:
    """Sets a key, `a.b` in a nested section; paths become absolute, so that they stay true.

    Raises:
        UserError: `a` is no section.
    """
    *outer, last = key.split(".")
    for name in outer:
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
        if not isinstance(section, dict):
            raise UserError(f"--set {key}: {name!r} is no section")
    if key in ("path", "table", "directory") and isinstance(value, str):
        value = os.path.abspath(os.path.expanduser(value))
    section[last] = None if last == "split" and value == "none" else value


def divided(section: dict[str, Any], wanted: Any) -> dict[str, Any]:
    """Returns a section with the split that the user wants, or the default one.

    Args:
        section: The section `data`.
        wanted: "id", "sky", "stratified:COLUMN", "column:COLUMN" or "none"; a dict of the keys of
            `astrojax.data.split`, where those not said have their defaults; or None, for the
            splits of the files if they have any, and else by id.

    Raises:
        UserError: It is none of these.
    """
    has_own = section["name"] == "tfds" or isinstance(section.get("path"), dict)
    if has_own or section["name"] == "survey":
        return section
    if wanted is None:
        own = detect.own_splits(section)
        return section if own else {**section, "split": dict(split.DEFAULT)}
    if isinstance(wanted, str):
        wanted = {"name": wanted}
    if wanted.get("name") == "none":
        return {**section, "split": None}
    return {**section, "split": split.complete(wanted)}


def renamed(section: dict[str, Any], standard: str, column: str) -> dict[str, Any]:
    """Returns a section whose column `standard` is what it calls `column` now."""
    columns = {k: v for k, v in section.get("columns", {}).items() if k != standard}
    there = columns.get(column, column)
    if column not in STANDARD:
        columns.pop(column, None)
    return {**section, "columns": {**columns, standard: there}}
