# SPDX-License-Identifier: Apache-2.0
"""What kind of data a path is, and the keys of its reader that can be seen in the files."""

import importlib
import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from astrojax.data import pictures, readers, stated, untrusted, validate
from astrojax.data.listing import Listing
from astrojax.data.readers.folder import split_folders
from astrojax.errors import UserError
from astrojax.files import reading

_SUFFIXES = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npz": "npz",
}
_FITS = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
_PICTURES = (*pictures.SUFFIXES, ".npy")
# For keys that a user need not give.
_DEFAULTS: dict[str, Any] = {
    "split": None,
    "crop": None,
    "resize": None,
    "unreadable": "error",
    "label_thinning": None,
    "sentinels": {},
    "classes": None,
    "class_names": None,
    "others": "unlabelled",
    "id_from": "path",
    "zero_points": None,
    "shape": None,
    "match": "id",
    "radius_arcsec": 1.0,
    "position_unit": None,
    "hdu": None,
    "unmatched": "error",
    "unmatched_file": None,
    "follow_links": False,
    "select": {},
}
_COLUMNS = {
    "id": ("id", "ids", "object_id", "objid", "source_id"),
    "ra": ("ra", "raj2000", "alpha_j2000", "ra_deg"),
    "dec": ("dec", "dej2000", "delta_j2000", "dec_deg"),
    "ebv": ("ebv", "ebvs", "e_bv"),
}
_IMAGES = ("images", "image", "blob", "cutouts", "stamps", "x")


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Returns the keys of a reader."""
    module = importlib.import_module(f"astrojax.data.readers.{name}")
    return dict(inspect.signature(module.load).parameters)


def recognise(data: str, settings: dict[str, Any]) -> tuple[str, str]:
    """Returns the reader of what `--data` names, and the path to give it.

    Args:
        data: A file, folder, pattern, or reader; a reader's path is taken out of `settings`.
        settings: The user's `--set` keys.

    Raises:
        UserError: There is no such file, or nothing tells what it is.
    """
    path = os.path.abspath(os.path.expanduser(data))
    if not os.path.exists(path) and data in readers.names():
        given = settings.pop("path", settings.pop("directory", ""))
        return data, os.path.abspath(os.path.expanduser(given)) if given else ""
    if "{id}" in data:
        return "fits", path
    if any(mark in data for mark in "*?"):
        return "parquet", path
    found = validate.file(path)
    if found.is_dir():
        return _folder(found)
    name = found.name.lower()
    if name.endswith(_FITS):
        raise UserError(
            f"{data} is one FITS file: give the folder of cutouts, or a pattern such as "
            "'cutouts/{id}.fits'; cut stamps from an image with `astrojax stamps`"
        )
    if found.suffix.lower() not in _SUFFIXES:
        raise UserError(
            f"{data}: nothing tells what kind of data it is; name the reader, e.g. --data hdf5 "
            f"--set path={data} (readers: {', '.join(readers.names())})"
        )
    return _SUFFIXES[found.suffix.lower()], path


def _folder(folder: Path) -> tuple[str, str]:
    levels = ("dataset_info.json", "*/dataset_info.json", "*/*/dataset_info.json")
    if any(any(folder.glob(level)) for level in levels):
        return "tfds", str(folder)
    found = {_suffix(p) for p in Listing(folder, ("",)).files}
    kinds = {
        "fits": sorted(s for s in found if s.lower() in _FITS),
        "folder": sorted(s for s in found if s.lower() in _PICTURES),
        "parquet": sorted(s for s in found if s.lower() in (".parquet", ".pq")),
    }
    there = [kind for kind, suffixes in kinds.items() if suffixes]
    if len(there) != 1:
        raise UserError(
            f"the folder {folder} holds {' and '.join(there) or 'no known kind of'} files: name "
            "the reader, e.g. --data fits --set 'path=FOLDER/{id}.fits'"
        )
    if there[0] == "folder":
        return "folder", str(folder)
    first, *others = kinds[there[0]]
    if there[0] == "parquet" and not any(folder.glob(f"*{first}")):
        return "parquet", str(folder)  # the hub's layout: FOLDER/data/test-*.parquet
    if others:
        raise UserError(
            f"the files in {folder} end in {first} and {', '.join(others)}: give a pattern, e.g. "
            f"--data '{folder}/{{id}}{first}'"
        )
    return there[0], f"{folder}/{'*' if there[0] == 'parquet' else '{id}'}{first}"


def _suffix(file: Path) -> str:
    """`.fits`, or `.fits.gz` of a compressed file."""
    return "".join(file.suffixes[-2:] if file.suffix in (".gz", ".fz") else [file.suffix])


def look(
    name: str, path: str, bands: tuple[str, ...], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the reader's section, as far as it can be seen in the files.

    Args:
        name: The reader.
        path: What `recognise` gave.
        bands: Bands of the images.
        settings: The user's keys, which come first.

    Raises:
        UserError: Files that leave in doubt what a key has to be; the message names it.
    """
    section = {k: v for k, v in _DEFAULTS.items() if k in parameters(name)}
    if name == "tfds":
        return section | (_tfds(Path(path)) if "dataset" not in settings else {"directory": path})
    section |= {"path": path} if path and "path" in parameters(name) else {}
    special = {"hdf5": _hdf5, "npz": _npz, "parquet": _parquet, "fits": _fits}
    return section | (special[name](path, bands, settings) if name in special and path else {})


def scalar_columns(name: str, path: str) -> list[str]:
    """Returns the columns of a file that have one value for each object, in the file's order."""
    special = {"hdf5": _hdf5_scalars, "npz": _npz_scalars, "parquet": _parquet_scalars}
    return special[name](path) if name in special and path else []


def own_splits(section: Mapping[str, Any]) -> bool:
    """Returns whether the files are divided into splits: the hub's layout, or train, val, test."""
    name, path = section["name"], section.get("path", "")
    folders = name == "folder" and split_folders(path)[1] is not None
    return folders or (name == "parquet" and os.path.isdir(path))


def catalogue(
    table: str,
    cutouts: dict[str, Any],
    inputs: Iterable[str],
    *,
    every_column: bool,
    hdu: int | str | None = None,
) -> dict[str, Any]:
    """Returns the section of a catalogue joined to cutouts.

    Args:
        table: The catalogue file.
        cutouts: The section of the images.
        inputs: What the model needs; columns of these names are taken.
        every_column: Whether all other columns are taken too, under their own names.
        hdu: Which table of a file with several.
    """
    from astrojax.data.tables import read_table

    path = os.path.abspath(os.path.expanduser(table))
    names = read_table(validate.file(path), hdu).names
    section = {k: v for k, v in _DEFAULTS.items() if k in parameters("catalogue")}
    columns = _standard(names) | {name: name for name in inputs if name in names}
    if every_column:
        columns |= {n: n for n in names if n not in columns.values() and n not in columns}
    return {"name": "catalogue", "table": path, "cutouts": cutouts, "columns": columns, **section}


def belongs_to_catalogue(key: str) -> bool:
    """Returns whether a key is the catalogue's, where there is one, and not that of the cutouts."""
    shared = ("split", "classes", "others", "sentinels")
    first = key.split(".")[0]
    return key != "columns.image" and (first in shared or first in parameters("catalogue"))


def tfds_splits(section: Mapping[str, Any]) -> list[str]:
    """Returns the splits of a TFDS data set."""
    folder = Path(section["directory"]) / section["dataset"]
    version = sorted(folder.glob("**/dataset_info.json"))[-1].parent
    return list(untrusted.open_tfds(version).info.splits)


def tfds_parts(section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the splits of a TFDS data set as the reader takes them; one alone is divided."""
    there = tfds_splits(section)
    if len(there) == 1:
        parts = {"train": "[:80%]", "validation": "[80%:90%]", "test": "[90%:]"}
        return {name: there[0] + part for name, part in parts.items()}
    return {name: name if name in there else None for name in ("train", "validation", "test")}


def _standard(names: Iterable[str]) -> dict[str, str]:
    """{standard name: column} of those whose names leave no doubt."""
    lower = {_last(n): str(n) for n in names}
    found: dict[str, str] = {}
    for standard, known in _COLUMNS.items():
        there = [lower[k] for k in known if k in lower]
        found |= {standard: there[0]} if there else {}
    return found


def _image(names: Iterable[str], settings: Mapping[str, Any], where: str) -> str:
    names = list(names)
    if "columns.image" in settings:
        return validate.key(settings["columns.image"], names, where)
    lower = {_last(n): str(n) for n in reversed(names)}
    there = [lower[k] for k in _IMAGES if k in lower]
    if not there:
        raise UserError(
            f"{where}: which of {', '.join(names)} are the images? add --set columns.image=NAME"
        )
    return there[0]


def _last(name: str) -> str:
    """Returns the name of a dataset without those of its groups."""
    return str(name).rsplit("/", 1)[-1].lower()


def _layout(shape: tuple[int, ...], bands: int, settings: Mapping[str, Any], where: str) -> str:
    """Returns the order of the axes of stamps [n ...], where their lengths leave no doubt."""
    if "layout" in settings or len(shape) != 4:
        return settings.get("layout", "nhwc")
    first, last = shape[1] == bands, shape[3] == bands
    if first == last:
        told = f"; which axis are the {bands} bands? add --set layout=nchw or nhwc"
        told = told if first else f" have no axis of {bands} bands: name them all"
        raise UserError(f"{where}: images of shape {tuple(shape)}{told}")
    return "nchw" if first else "nhwc"


def _hdf5(path: str, bands: tuple[str, ...], settings: Mapping[str, Any]) -> dict[str, Any]:
    where = os.path.basename(path)
    with untrusted.open_hdf5(path) as file:
        shapes = untrusted.hdf5_shapes(file)
    image = _image(shapes, settings, where)
    flat = [name for name, shape in shapes.items() if len(shape) == 1]
    columns = {"image": image, **_standard(flat)}
    count = len(stated.of_file("hdf5", path).get("bands", bands))
    return {"columns": columns, "layout": _layout(shapes[image], count, settings, where)}


def _hdf5_scalars(path: str) -> list[str]:
    with untrusted.open_hdf5(path) as file:
        return [n for n, shape in untrusted.hdf5_shapes(file).items() if len(shape) == 1]


def _npz_scalars(path: str) -> list[str]:
    with untrusted.open_npz(path) as archive:
        headers = {n: untrusted.npz_header(archive, n, path) for n in archive.files}
    sizes = {n: s[0] for n, (s, kind) in headers.items() if len(s) == 1 and kind.kind in "biufSU"}
    images = sizes.get("offsets", 0) - 1 if "blob" in headers else None
    return [n for n, k in sizes.items() if n not in ("blob", "offsets") and images in (None, k)]


def _parquet_scalars(path: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = pa.types
    first = _first_shard(path)
    with reading(first):
        schema = pq.read_schema(first)
    numbers = (kinds.is_integer, kinds.is_floating, kinds.is_boolean)
    plain = (*numbers, kinds.is_string, kinds.is_large_string)
    return [f.name for f in schema if any(fits(f.type) for fits in plain)]


def _npz(path: str, bands: tuple[str, ...], settings: Mapping[str, Any]) -> dict[str, Any]:
    where = os.path.basename(path)
    with untrusted.open_npz(path) as archive:
        image = _image(archive.files, settings, where)
        shape = () if image == "blob" else untrusted.npz_header(archive, image, where)[0]
        columns = {"image": image, **_standard(archive.files)}
    count = len(stated.of_file("npz", path).get("bands", bands))
    return {"columns": columns, "layout": _layout(shape, count, settings, where)}


def _parquet(path: str, bands: tuple[str, ...], settings: Mapping[str, Any]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = _first_shard(path)
    with reading(first):
        schema = pq.read_schema(first)
    where = os.path.basename(first)
    image = _image(schema.names, settings, where)
    kind = schema.field(image).type
    encoded = pa.types.is_binary(kind) or pa.types.is_struct(kind) or pa.types.is_large_binary(kind)
    if not encoded and not {"shape", "layout"} <= set(settings):
        raise UserError(
            f"{where}: {image} is a list of numbers; what shape has an image, and in which order? "
            f"add e.g. --set shape={len(bands)},64,64 --set layout=nchw"
        )
    return {"columns": {"image": image, **_standard(schema.names)}, "layout": "nhwc"}


def _first_shard(path: str) -> str:
    import glob

    from astrojax.data.readers.parquet import hub_splits

    pattern = next(iter(hub_splits(path).values())) if os.path.isdir(path) else path
    files = sorted(glob.glob(pattern))
    if not files:
        raise UserError(f"no file matches {path!r}")
    return files[0]


def _fits(path: str, bands: tuple[str, ...], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Which HDUs are the images of the first file: one cube, one per band, or one in all."""
    if "hdus" in settings or "{id}" not in path:  # of which the reader says what is wrong
        return {}
    from astrojax.data.readers.fits import find

    found = find(path, bands, whole=False)[0].values()
    first, shapes = _first_shapes([files[0] for files in found])
    cubes = [i for i, (_, s) in shapes.items() if len(s) == 3 and s[0] == len(bands)]
    if not cubes and len(shapes) == 1 and len(next(iter(shapes.values()))[1]) == 3:
        cubes = list(shapes)  # its header may name more bands than are wanted
    planes = [i for i, (_, s) in shapes.items() if len(s) == 2]
    named = [name for name, s in shapes.values() if len(s) == 2 and name in map(str.upper, bands)]
    wanted = 1 if "{band}" in path else len(bands)
    if cubes:
        return {"hdus": cubes[0]}
    if wanted > 1 and len(named) == wanted:  # extensions that are called as the bands are
        return {"hdus": tuple(b.upper() for b in bands)}
    if len(planes) == wanted:
        return {"hdus": planes[0] if wanted == 1 else tuple(planes)}
    there = "; ".join(f"HDU {i} {name or ''} {s}" for i, (name, s) in shapes.items())
    raise UserError(
        f"{first}: which HDUs are the bands {', '.join(bands)}? add --set hdus=... ({there or 'no'}"
        " images)"
    )


def _first_shapes(files: list[Path]) -> tuple[Path, dict[int, tuple[str, tuple[int, ...]]]]:
    """Returns the first file that can be opened, and {HDU: (name, shape)} of its images."""
    from astropy.io import fits

    message = ""
    for file in files[: validate.SAMPLE]:
        try:
            with fits.open(file, memmap=False, lazy_load_hdus=False) as opened:
                shapes = {i: (h.name, tuple(h.shape)) for i, h in enumerate(opened) if _is_image(h)}
        except Exception as error:  # whatever a damaged file makes astropy raise
            message = str(error)
            continue
        if shapes:
            return file, shapes
        message = "it holds no image"
    raise UserError(f"{files[0]} cannot be read ({message}), nor can those after it")


def _is_image(hdu: Any) -> bool:
    return bool(getattr(hdu, "is_image", False)) and len(hdu.shape) in (2, 3)


def _tfds(folder: Path) -> dict[str, Any]:
    """Directory and data set of a folder that is a version, a data set, or a directory of one."""
    found = sorted(folder.glob("**/dataset_info.json"))
    if not found:
        raise UserError(f"{folder} holds no TFDS data set: it has no dataset_info.json")
    sets = {p.parent.parent for p in found}
    if folder in (p.parent for p in found):
        sets = {folder.parent}
    if len(sets) > 1:
        names = ", ".join(sorted(p.name for p in sets))
        raise UserError(f"{folder} has several data sets ({names}): give --data {folder}/NAME")
    dataset = sets.pop()
    return {"directory": str(dataset.parent), "dataset": dataset.name}
