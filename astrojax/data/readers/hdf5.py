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

from astrojax.data import images, pictures, validate
from astrojax.data.columns import read, standardise
from astrojax.data.keys import (
    MAX_BYTES,
    MAX_PIXELS,
    BadPixels,
    Columns,
    Layout,
    Paths,
    Sentinels,
    Unreadable,
)
from astrojax.data.source import Source
from astrojax.errors import UserError

_SUSPECT = 1 << 34  # bytes of pixels from which on a file is looked at for what is in it
_MOST_COMPRESSED = 100_000  # bytes of pixels per byte in such a file beyond which it is empty


def load(
    *,
    path: Paths,
    columns: Columns,
    layout: Layout,
    label_thinning: int | None = None,
    sentinels: Sentinels | None = None,
    info: dict,
    crop: int | None = None,
    bad_pixels: BadPixels = "error",
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
        sentinels: {standard name: values that mean missing}.
        info: See `astrojax.data.info.describe`.
        crop: Side of the central square to cut, or None.
        bad_pixels: "error" or "mask".
        unreadable: What of damaged stamps: "error", or "skip", which reads every stamp once at
            start, names those that cannot be read and counts them.
        max_pixels: Pixels of a stamp beyond which the file is refused.
        max_bytes: Bytes of a stamp beyond which the file is refused.
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: See `astrojax.data.validate`.
    """

    def open_one(one: str, name: str) -> images.StoredSource:
        names = images.with_thinning(columns, label_thinning, name)
        file = validate.file(one)
        with opened(file) as handle:
            said = stated(handle, names.get("image"))
        validate.stated(info, said, file.name)
        stamps, found = open_images(file, names, layout)
        stamps.check(max_pixels, max_bytes)
        clean = standardise(
            found,
            sentinels=sentinels or {},
            where=stamps.path.name,
            extinction=info.get("extinction"),
        )
        return images.open_source(
            stamps,
            clean,
            info=info,
            where=stamps.path.name,
            crop=crop,
            bad_pixels=bad_pixels,
            unreadable=unreadable,
        )

    return images.thin_training(images.split_paths(open_one, path, split))


def opened(file: Path) -> Any:
    """Returns an open HDF5 file.

    Raises:
        UserError: It is none, or is damaged.
    """
    import h5py

    try:
        return h5py.File(file, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{file} is not a readable HDF5 file ({error})") from None


def datasets(group: Any, *, depth: int = 4) -> dict[str, Any]:
    """Returns {path: dataset} of a file and of its groups; links that lead nowhere are left out."""
    import h5py

    found: dict[str, Any] = {}
    for name in group:
        try:
            entry = group[name]
        except (KeyError, OSError, RuntimeError):  # a dangling soft or external link
            continue
        if isinstance(entry, h5py.Dataset):
            found[name] = entry
        elif isinstance(entry, h5py.Group) and depth:
            inner = datasets(entry, depth=depth - 1)
            found |= {f"{name}/{path}": dataset for path, dataset in inner.items()}
    return found


def stated(file: Any, image: Any = None) -> dict[str, Any]:
    """Returns what the attributes of a file and of its images say of the pixels."""
    found: dict[str, Any] = {}
    places = [file.attrs]
    if isinstance(image, str) and image in datasets(file):
        places.append(file[image].attrs)
    for attributes in places:
        for name in ("bands", "unit", "zero_point", "pixel_scale"):
            value = attributes.get(name)
            if value is None or not np.size(value):
                continue
            if name == "bands":
                found[name] = tuple(_text(v) for v in np.ravel(value))
            else:
                found[name] = _text(value) if name == "unit" else float(np.ravel(value)[0])
    return {name: value for name, value in found.items() if value != ""}


def _text(value: Any) -> str:
    value = np.ravel(value)[0] if isinstance(value, np.ndarray) else value
    return value.decode() if isinstance(value, bytes) else str(value)


def open_images(
    file: Path, names: Mapping[str, Any], layout: str, optional: tuple[str, ...] = ()
) -> tuple["Hdf5Images", dict[str, np.ndarray]]:
    """Returns the stamps and the columns of a file; datasets named in `optional` may be absent.

    Raises:
        UserError: It is no HDF5 file, a dataset is missing, or the images have not 3 or 4 axes.
    """
    import h5py

    with opened(file) as handle:
        there = datasets(handle)
        names = {k: v for k, v in names.items() if v not in optional or v in there}
        image = names.get("image", "images")
        if isinstance(handle.get(image), h5py.Group):
            inside = ", ".join(f"{image}/{name}" for name in datasets(handle[image]))
            raise UserError(
                f"{file.name}: {image} is a group, not a dataset: name one in it "
                f"({inside or 'it is empty'})"
            )
        image = validate.key(image, there, file.name)
        found = read(lambda name: there[name][:], there, names, where=file.name)
        return Hdf5Images(file, image, layout, there[image]), found


class Hdf5Images:
    """One dataset [n c h w], [n h w c] or [n h w] of an HDF5 file, opened once per process."""

    def __init__(self, path: Path, dataset: str, layout: str, data: Any):
        self.path, self.dataset, self.layout = path, dataset, layout
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
        import h5py

        # A handle does not survive a fork: HDF5 keeps state per process.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), h5py.File(self.path, "r")[self.dataset])
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
