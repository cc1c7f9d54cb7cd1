# SPDX-License-Identifier: Apache-2.0
"""Images in memory as a data set, and the copy of them that a run keeps."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data import images
from astrojax.data import section as section_of
from astrojax.data.classes import encode_labels
from astrojax.data.columns import read, standardise
from astrojax.data.keys import BadPixels
from astrojax.data.native import to_native
from astrojax.data.source import Source, WithColumns
from astrojax.data.split import apply
from astrojax.errors import UserError
from astrojax.files import atomic_write

WHERE = "the arrays"
_SIDE = "split_of_arrays"  # a name that no catalogue has


class MemoryImages:
    """Stamps [n h w c] in memory."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[index]

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return f"image {index} of the array"


def open_arrays(
    stamps: Any,
    *,
    describe: Any,
    catalogue: Any = None,
    columns: Mapping[str, Any] | None = None,
    split: Any = None,
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
    **pixels: Any,
) -> dict[str, Source]:
    """Returns sources of images in memory, one for each split.

    Args:
        stamps: Images [n h w c], or [n h w] of one band: NumPy, JAX or masked arrays, or lists.
        describe: Makes the section `info` of what is said of the pixels.
        catalogue: Columns that run parallel to the images: a pandas or astropy table, or a mapping.
        columns: {standard name: column of the catalogue, or the values themselves}.
        split: See `astrojax.data.section.divided`.
        crop: Side of the central square to cut, or None.
        resize: Side to resample 8-bit images to, or None.
        bad_pixels: "error" or "mask".
        **pixels: `bands`, `unit`, `zero_point`, `pixel_scale`, `noise`, `extinction`.

    Raises:
        UserError: No images, columns of another length, or something that is not said.
    """
    unknown = set(pixels) - set(section_of.PIXELS)
    if unknown:
        raise UserError(f"open_data of arrays takes no {', '.join(sorted(unknown))}")
    if "bands" in pixels:
        bands = pixels["bands"]
        pixels["bands"] = tuple(bands.split(",") if isinstance(bands, str) else map(str, bands))
    values, names = as_images(stamps), None
    clean = standardise(_chosen(catalogue, columns or {}), sentinels={}, where=WHERE)
    if "label" in clean:
        clean["label"], names, _ = encode_labels(
            clean["label"], names=None, classes=None, others="error", where=WHERE
        )
    source = images.open_source(
        MemoryImages(values),
        clean,
        info=describe(pixels, "arrays"),
        where=WHERE,
        classes=names,
        crop=crop,
        resize=resize,
        bad_pixels=bad_pixels,
    )
    return apply(source, section_of.divided({"name": "arrays"}, split)["split"])


def renamed(sources: Mapping[str, Source], standard: str, column: str) -> dict[str, Source]:
    """Returns sources whose column `standard` is `column`; of a `label` come classes."""
    values = np.ma.concatenate([source.column(column) for source in sources.values()])
    values = values if np.ma.is_masked(values) else np.ma.getdata(values)
    names = None
    if standard == "label":
        values, names, _ = encode_labels(
            values, names=None, classes=None, others="error", where=WHERE
        )
    found: dict[str, Source] = {}
    ends = np.cumsum([len(source) for source in sources.values()])
    parts = np.split(values, ends[:-1])
    for (split, source), part in zip(sources.items(), parts, strict=True):
        found[split] = WithColumns(source, {standard: part})
        if names is not None:
            found[split].info = dataclasses.replace(source.info, classes=names)
    return found


def as_images(stamps: Any) -> np.ndarray:
    """Returns images [n h w c] of an array, a masked array (NaN below the mask) or a list.

    Raises:
        UserError: There are none, they are of several sizes, or no real numbers.
    """
    if isinstance(stamps, np.ma.MaskedArray):
        stamps = np.ma.filled(stamps.astype(np.float32), np.nan)
    try:
        values = np.asarray(stamps)
    except ValueError:
        raise UserError("the images are of several sizes: cut them to one") from None
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or values.dtype.kind not in "uif":
        raise UserError(
            f"the images have shape {values.shape} and type {values.dtype}; they have to be "
            "numbers [n, h, w, bands]"
        )
    if not values.size:
        raise UserError(f"there are no images: their shape is {values.shape}")
    return values


def _chosen(catalogue: Any, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns all columns of a catalogue, those that `columns` names by their standard names."""
    table = _columns(catalogue)
    renamed = {k: v for k, v in columns.items() if isinstance(v, str)}
    given = {k: to_native(v, k, WHERE) for k, v in columns.items() if not isinstance(v, str)}
    rest = {n: n for n in table if n not in renamed.values() and n not in renamed}
    return read(table.__getitem__, table, rest | renamed, where=WHERE) | given


def _columns(catalogue: Any) -> dict[str, np.ndarray]:
    """Returns the columns of a pandas or astropy table, or of a mapping."""
    if catalogue is None:
        return {}
    names = getattr(catalogue, "colnames", None)
    if names is None:
        names = list(catalogue.keys() if hasattr(catalogue, "keys") else catalogue.dtype.names)
    return {str(name): to_native(catalogue[name], str(name), WHERE) for name in names}


def store(sources: Mapping[str, Source], folder: Path) -> dict[str, Any]:
    """Writes arrays to `folder/arrays.h5`, and returns the section `data` that opens them.

    Args:
        sources: The splits of `open_arrays`, or any others.
        folder: Where the file goes.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    import h5py

    info = next(iter(sources.values())).info
    path = folder / "arrays.h5"
    first = next(iter(sources.values()))
    example = first[0]
    names = [n for n in example if n != "image"]
    size = sum(map(len, sources.values()))
    image = np.asarray(example["image"])
    before = (_digest(path), path.stat()) if path.is_file() else None
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["bands"], file.attrs["unit"] = list(info.bands), info.unit
        file.create_dataset("images", (size, *image.shape), image.dtype, chunks=(1, *image.shape))
        row = 0
        for source in sources.values():
            for index in range(len(source)):
                file["images"][row] = source[index]["image"]
                row += 1
        side = np.concatenate([np.full(len(s), k, dtype="S10") for k, s in sources.items()])
        file[_SIDE] = side
        for name in names:
            file[name] = _storable(sources, name, info.classes)
    if before is not None and before[0] == _digest(path):
        # The same arrays: a run that goes on compares the time of its files.
        os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))
    columns = {name: name for name in (*names, _SIDE)} | {"image": "images"}
    return {
        "name": "hdf5",
        "path": str(path.resolve()),
        "columns": columns,
        "layout": "nhwc",
        "info": {
            "bands": info.bands,
            "unit": info.unit,
            "zero_point": info.zero_point,
            "pixel_scale": info.pixel_scale,
            "noise": info.noise,
            "extinction": info.extinction,
        },
        "split": {"name": "column", "column": _SIDE},
    }


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _storable(sources: Mapping[str, Source], name: str, classes: tuple[str, ...] | None) -> Any:
    values = np.ma.concatenate([source.column(name) for source in sources.values()])
    if np.ma.is_masked(values):  # HDF5 has no missing integers
        text = values.dtype.kind in "UO"
        values = values.filled("") if text else values.astype(np.float64).filled(np.nan)
    values = np.ma.getdata(values)
    if name == "label" and classes is not None:
        values = np.array([*classes, ""])[values]
    if values.dtype.kind not in "UO":
        return values
    return np.array([str(v).encode() for v in values])
