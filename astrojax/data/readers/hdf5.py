# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of stamps, in the layout of PITA's CANDELS file or any other names.

`images` [n c h w] (or [n h w c]) in float16, float32 or uint8, and beside it `ebvs`, `redshifts`
(NaN or -1: none), `use_redshift_{f}` (1: the label counts; f thins the labels), and either fluxes
per band or color features. A stamp is read when it is asked for; the file is opened once per
process. For full speed store one stamp per chunk, or convert with `astrojax convert`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from astrojax.data import images, stated, untrusted, validate
from astrojax.data.classes import Encoder, indices
from astrojax.data.columns import read, standardise
from astrojax.data.keys import BadPixels, Classes, Columns, Layout, Others, Paths, Sentinels
from astrojax.data.source import Source, of_classes
from astrojax.data.tables import hdf5_columns
from astrojax.errors import UserError


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
        bad_pixels: "error" or "mask".
        follow_links: Whether datasets may be in other files that the file names (external links,
            external storage, virtual data sets); only for files that you trust.
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: See `astrojax.data.validate`.
    """
    encode = Encoder(classes, others)

    def open_one(one: str, name: str) -> Source:
        names = images.with_thinning(columns, label_thinning, name)
        stamps, found = open_images(validate.file(one), names, layout, follow_links=follow_links)
        clean = standardise(
            found,
            sentinels=sentinels or {},
            where=stamps.path.name,
            extinction=info.get("extinction"),
        )
        found_classes, kept = _encoded(clean, len(stamps), encode, stamps.path.name)
        source = images.open_source(
            stated.chosen(stamps, stamps.stated, info, stamps.path.name),
            clean,
            info=info,
            where=stamps.path.name,
            classes=found_classes,
            crop=crop,
            bad_pixels=bad_pixels,
        )
        return of_classes(source, kept)

    return images.thin_training(images.split_paths(open_one, path, split))


def _encoded(
    columns: dict[str, np.ndarray], size: int, encode: Encoder, where: str
) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """Encodes the label, if there is one; returns its classes and the positions to keep."""
    if "label" not in columns:
        return None, np.arange(size)
    labels = None if encode.classes else indices(columns["label"])
    if labels is not None:
        columns["label"] = labels
        return None, np.arange(size)
    columns["label"], classes, kept = encode(columns["label"], None, where)
    return classes, kept


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
            followed, or the images have not 4 axes.
    """
    with untrusted.open_hdf5(file) as handle:
        there = list(handle)  # `in` would open what an external link names
        names = {k: v for k, v in names.items() if v not in optional or v in there}
        image = validate.key(names.get("image", "images"), there, file.name)

        available = hdf5_columns(handle, follow_links=follow_links)

        def dataset(name: str) -> Any:
            return untrusted.hdf5_dataset(handle, name, follow_links=follow_links)

        stored = dataset(image)
        if stored.ndim != 4:
            raise UserError(f"{file.name}: {image} has shape {stored.shape}, not 4 axes")
        untrusted.check_memory(stored.shape[1:], stored.dtype.itemsize, f"a stamp of {file.name}")
        found = read(lambda name: available[name](), available, names, where=file.name)
        said = stated.from_attributes(handle.attrs)
        return Hdf5Images(file, image, layout, len(stored), said, follow_links), found


class Hdf5Images:
    """One dataset [n c h w] or [n h w c] of an HDF5 file, opened once per process."""

    def __init__(
        self,
        path: Path,
        dataset: str,
        layout: str,
        size: int,
        stated: Mapping[str, Any],
        follow_links: bool,
    ):
        self.path, self.dataset, self.layout, self.size = path, dataset, layout, size
        self.stated, self.follow_links = dict(stated), follow_links
        self._opened: tuple[int, Any] | None = None

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        stamp = self._data()[index]
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
