# SPDX-License-Identifier: Apache-2.0
"""NumPy archives: arrays [n h w c], or encoded pictures as `blob` and `offsets`, and columns.

In the second form picture i is the JPEG or PNG file `blob[offsets[i]:offsets[i + 1]]`. An archive
is unpacked once, when it is opened; pictures stay encoded until they are asked for.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from astrojax.data import images, pictures, stated, untrusted, validate
from astrojax.data.classes import Encoder
from astrojax.data.columns import read, standardise
from astrojax.data.keys import (
    MAX_BYTES,
    MAX_PIXELS,
    BadPixels,
    Classes,
    Columns,
    Layout,
    Others,
    Paths,
    Sentinels,
    Unreadable,
)
from astrojax.data.native import to_native
from astrojax.data.source import Source
from astrojax.errors import UserError


def load(
    *,
    path: Paths,
    columns: Columns,
    layout: Layout = "nhwc",
    class_names: str | None = None,
    classes: Classes | None = None,
    others: Others = "error",
    sentinels: Sentinels | None = None,
    info: dict,
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
    unreadable: Unreadable = "error",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens an NPZ archive, or one for each split.

    Args:
        path: A file to divide, or {"train": file, "validation": file, "test": file}.
        columns: {standard name: array}; "image" is needed: "blob", or an array of 4 axes.
        layout: "nchw" or "nhwc" of such an array.
        class_names: Array of the names of the integer labels, or None if labels are names or codes.
        classes: The classes wanted, in order: each a value of the label, or
            (new name, (values to merge)); None: the file's own.
        others: What of objects in other classes: "error", "drop" or "unlabelled".
        sentinels: {standard name: values that mean missing}.
        info: See `astrojax.data.info.describe`.
        crop: Side of the central square to cut, or None.
        resize: Side to resample pictures to, or None.
        bad_pixels: See `astrojax.data.keys`.
        unreadable: See `astrojax.data.keys`.
        max_pixels: See `astrojax.data.keys`.
        max_bytes: See `astrojax.data.keys`.
        split: See `astrojax.data.keys`.

    Raises:
        UserError: See `astrojax.data.validate`.
    """
    cuts: dict[str, Any] = {"crop": crop, "resize": resize, "bad_pixels": bad_pixels}
    cuts["unreadable"] = unreadable
    encode = Encoder(classes, others)
    limits = (max_pixels, max_bytes)

    def open_one(one: str, _: str) -> Source:
        file = validate.file(one)
        arrays = _arrays(file, columns, class_names)
        found = read(arrays.__getitem__, arrays, columns, where=file.name)
        clean = standardise(found, sentinels=sentinels or {}, where=file.name)
        label = _encoded(clean, _names(arrays, class_names, file.name), encode, file.name)
        said = _stated(arrays, columns)
        count = len(said.get("bands", info.get("bands", ())))
        stamps = _stamps(file, arrays, columns, layout, count, limits)
        stamps = stated.chosen(stamps, said, info, file.name)
        return images.open_source(stamps, clean, info=info, where=file.name, **label, **cuts)

    return images.split_paths(open_one, path, split)


def _encoded(
    columns: dict[str, np.ndarray], own: tuple[str, ...] | None, encode: Encoder, where: str
) -> dict[str, Any]:
    """Encodes the label, if there is one; returns `classes` and `of_classes` of the source."""
    if "label" in columns:
        columns["label"], names, kept = encode(columns["label"], own, where)
        return {"classes": names, "of_classes": kept}
    if encode.classes is not None:
        raise UserError("data.classes is set, but data.columns names no label")
    return {}


def _names(
    arrays: dict[str, np.ndarray], class_names: str | None, where: str
) -> tuple[str, ...] | None:
    """Returns the names of the classes in the file, or None if there are none."""
    if class_names is None:
        return None
    return tuple(map(str, to_native(arrays[class_names], class_names, where)))


def _stated(arrays: dict[str, np.ndarray], columns: dict) -> dict[str, Any]:
    """Returns what arrays of an archive say of its pixels, as `np.savez(..., unit="nJy")` does."""
    used: set[str | None] = set()
    for name in columns.values():
        used.update((name,) if isinstance(name, str) or name is None else name)
    said = {n: v for n, v in arrays.items() if n not in used and (n == "bands" or v.size == 1)}
    found = stated.from_attributes(said)
    if columns.get("image") == "blob":  # the bands are those of a catalogue
        found.pop("bands", None)
    return found


def _arrays(file: Path, columns: dict, class_names: str | None) -> dict[str, np.ndarray]:
    """Returns the arrays that are needed: an archive unpacks an array at every access."""
    wanted = {columns.get("image", "image"), class_names}
    for name in columns.values():
        wanted.update((name,) if isinstance(name, str) or name is None else name)
    if columns.get("image") == "blob":
        wanted.add("offsets")
    with untrusted.open_npz(file) as archive:
        wanted.update({"bands", "unit", "zero_point", "pixel_scale"} & set(archive.files))
        names = [validate.key(n, archive.files, file.name) for n in wanted if n is not None]
        return {n: untrusted.npz_array(archive, n, file.name) for n in names}


def _stamps(
    file: Path,
    arrays: dict[str, np.ndarray],
    columns: dict,
    layout: str,
    bands: int,
    limits: tuple[int, int],
) -> images.Images:
    name = columns.get("image", "image")
    if name == "blob":
        return EncodedImages(arrays["blob"], arrays["offsets"], bands, file.name, limits)
    stamps = arrays[name]
    if stamps.ndim == 3 and bands == 1:
        stamps = stamps[..., None]
    elif stamps.ndim != 4:
        raise UserError(f"{file.name}: {name} has shape {stamps.shape}, not 4 axes")
    elif layout == "nchw":
        stamps = stamps.transpose(0, 2, 3, 1)
    pictures.check_size(stamps.shape[1:3], f"{file.name}: an image of {name}", limits[0])
    return ArrayImages(stamps, file.name)


class EncodedImages:
    """JPEG or PNG files laid end to end."""

    def __init__(
        self,
        blob: UInt8[np.ndarray, " bytes"],
        offsets: Int[np.ndarray, " m"],
        bands: int,
        file: str,
        limits: tuple[int, int],
    ):
        self.blob, self.offsets, self.bands, self.file = blob, offsets, bands, file
        self.max_pixels, self.max_bytes = limits

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        if not 0 <= start < end <= len(self.blob) or end - start > self.max_bytes:
            raise pictures.Unreadable(
                f"{self.where(index)} lies at bytes {start} to {end} of {len(self.blob)} "
                f"(data.max_bytes is {self.max_bytes})"
            )
        return pictures.decode(
            self.blob[start:end].tobytes(),
            bands=self.bands,
            where=self.where(index),
            max_pixels=self.max_pixels,
        )

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return f"{self.file}, image {index}"


class ArrayImages:
    """Stamps in an array in memory."""

    def __init__(self, stamps: Shaped[np.ndarray, "n h w c"], file: str):
        self.stamps, self.file = stamps, file

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        return self.stamps[index]

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return f"{self.file}, image {index}"
