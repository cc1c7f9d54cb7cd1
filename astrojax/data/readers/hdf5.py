# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of stamps, in the layout of PITA's CANDELS file or any other names.

`images` [n c h w] (or [n h w c]) in float16, float32 or uint8, and beside it `ebvs`, `redshifts`
(NaN or -1: none), `use_redshift_{f}` (1: the label counts; f thins the labels), and either fluxes
per band or color features. A stamp is read when it is asked for; the file is opened once per
process. Datasets in groups have paths (`data/images`); [n h w] is one band. What the attributes of
the file or of its images say (`bands`, `unit`, `zero_point`, `pixel_scale`) has to agree with the
config. For full speed store one stamp per chunk, or convert with `astrojax convert`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from astrojax.data import images, pictures, stated, untrusted, validate
from astrojax.data.classes import Encoder, indices
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
from astrojax.data.source import Source
from astrojax.data.tables import hdf5_columns
from astrojax.errors import UserError

_SUSPECT = 1 << 34  # bytes of pixels from which on a file is looked at for what is in it
_MOST_COMPRESSED = 100_000  # bytes of pixels per byte in such a file beyond which it is empty


def load(
    *,
    path: Paths,
    columns: Columns,
    layout: Layout,
    label_thinning: int | None = None,
    classes: Classes | None = None,
    others: Others = "error",
    sentinels: Sentinels | None = None,
    info: dict,
    crop: int | None = None,
    bad_pixels: BadPixels = "error",
    follow_links: bool = False,
    unreadable: Unreadable = "error",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens an HDF5 file, or one for each split.

    Args:
        path: A file to divide, or {"train": file, "validation": file, "test": file}.
        columns: {standard name: dataset}; "image" is needed. See `astrojax.data.columns`.
        layout: "nchw" or "nhwc".
        label_thinning: f of `use_redshift_{f}`, which hides redshifts of the training split; or
            None for all labels.
        classes: The classes wanted, in order, as in `astrojax.data.readers.npz`; None: the names in
            the file, or integers as they are.
        others: What of objects in other classes: "error", "drop" or "unlabelled".
        sentinels: {standard name: values that mean missing}.
        info: See `astrojax.data.info.describe`.
        crop: Side of the central square to cut, or None.
        follow_links: Whether datasets may be in other files that the file names (external links,
            external storage, virtual data sets); only for files that you trust.
        bad_pixels: See `astrojax.data.keys`.
        unreadable: See `astrojax.data.keys`.
        max_pixels: See `astrojax.data.keys`.
        max_bytes: See `astrojax.data.keys`.
        split: See `astrojax.data.keys`.

    Raises:
        UserError: See `astrojax.data.validate`.
    """
    encode = Encoder(classes, others)
    cuts: dict[str, Any] = {"crop": crop, "bad_pixels": bad_pixels, "unreadable": unreadable}

    def open_one(one: str, name: str) -> Source:
        names = images.with_thinning(columns, label_thinning, name)
        file = validate.file(one)
        stamps, found = open_images(file, names, layout, follow_links=follow_links)
        stamps.check(max_pixels, max_bytes)
        dust = info.get("extinction")
        clean = standardise(found, sentinels=sentinels or {}, where=file.name, extinction=dust)
        label = _encoded(clean, encode, file.name)
        chosen = stated.chosen(stamps, stamps.stated, info, file.name)
        return images.open_source(chosen, clean, info=info, where=file.name, **label, **cuts)

    return images.thin_training(images.split_paths(open_one, path, split))


def _encoded(columns: dict[str, np.ndarray], encode: Encoder, where: str) -> dict[str, Any]:
    """Encodes the label, if there is one; returns `classes` and `of_classes` of the source."""
    if "label" not in columns:
        return {}
    labels = None if encode.classes else indices(columns["label"])
    if labels is not None:
        columns["label"] = labels
        return {}
    columns["label"], classes, kept = encode(columns["label"], None, where)
    return {"classes": classes, "of_classes": kept}


def open_images(
    file: Path,
    names: Mapping[str, Any],
    layout: str,
    optional: tuple[str, ...] = (),
    *,
    follow_links: bool = False,
) -> tuple["Hdf5Images", dict[str, np.ndarray]]:
    """Returns the stamps and the columns of a file; datasets named in `optional` may be absent.

    Raises:
        UserError: It is no HDF5 file, a dataset is missing or in another file that is not to be
            followed, or the images have not 3 or 4 axes.
    """
    with untrusted.open_hdf5(file) as handle:
        available = hdf5_columns(handle, follow_links=follow_links)
        image = names.get("image", "images")
        if image not in available:
            inside = [name for name in available if name.startswith(f"{image}/")]
            if inside:
                raise UserError(
                    f"{file.name}: {image} is a group, not a dataset: name one in it "
                    f"({', '.join(inside)})"
                )
            image = validate.key(image, available, file.name)
        names = {k: v for k, v in names.items() if v not in optional or v in available}
        stored = untrusted.hdf5_dataset(handle, image, follow_links=follow_links)
        said = stated.from_attributes(handle.attrs) | stated.from_attributes(stored.attrs)
        found = read(lambda name: available[name](), available, names, where=file.name)
        return Hdf5Images(file, image, layout, stored, said, follow_links), found


class Hdf5Images:
    """One dataset [n c h w], [n h w c] or [n h w] of an HDF5 file, opened once per process."""

    def __init__(
        self,
        path: Path,
        dataset: str,
        layout: str,
        data: Any,
        stated: Mapping[str, Any],
        follow_links: bool,
    ):
        self.path, self.dataset, self.layout = path, dataset, layout
        self.stated, self.follow_links = dict(stated), follow_links
        self.shape, self.bytes = tuple(data.shape), data.dtype.itemsize
        self.stored = data.id.get_storage_size()
        self._opened: tuple[int, Any] | None = None
        if len(self.shape) not in (3, 4):
            raise UserError(f"{path.name}: {dataset} has shape {self.shape}, not 4 axes")
        if data.dtype.kind not in "buif":
            kinds = {"c": "complex numbers", "V": f"records {data.dtype}"}
            what = kinds.get(data.dtype.kind, str(data.dtype))
            raise UserError(f"{path.name}: {dataset} holds {what}, not real numbers")

    def check(self, max_pixels: int, max_bytes: int) -> None:
        """Raises `UserError` if stamps are too large, or most were never written."""
        stamp = self.shape[1:]
        where = f"{self.path.name}: a stamp of {self.dataset}"
        sides = stamp[-2:] if self.layout == "nchw" or len(stamp) == 2 else stamp[:2]
        pictures.check_size(sides, where, max_pixels)
        size = self.bytes * int(np.prod(stamp, dtype=object))
        if size > max_bytes:
            raise UserError(f"{where} has {size} bytes, more than data.max_bytes = {max_bytes}")
        total = size * len(self)
        if total > _SUSPECT and total > _MOST_COMPRESSED * max(self.stored, 1):
            raise UserError(
                f"{self.path.name}: {self.dataset} has room for {len(self)} stamps, but only "
                f"{self.stored} bytes were ever written: write the file again"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        stamp = self._data()[index]
        if stamp.ndim == 2:
            return stamp[..., None]
        return stamp.transpose(1, 2, 0) if self.layout == "nchw" else stamp

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return f"{self.path.name}, row {index}"

    def _data(self) -> Any:
        # A handle does not survive a fork: HDF5 keeps state per process.
        if self._opened is None or self._opened[0] != os.getpid():
            file = untrusted.open_hdf5(self.path)
            opened = untrusted.hdf5_dataset(file, self.dataset, follow_links=self.follow_links)
            self._opened = (os.getpid(), opened)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
