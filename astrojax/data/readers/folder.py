# SPDX-License-Identifier: Apache-2.0
"""A folder of pictures (JPEG, PNG) or arrays (NPY), one folder per class, or without classes."""

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from astrojax.data import images, validate
from astrojax.data.classes import encode_labels
from astrojax.data.keys import BadPixels, Classes, Others, Paths, Unreadable
from astrojax.data.source import Source
from astrojax.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".npy")


def load(
    *,
    path: Paths,
    id_from: Literal["stem", "path"] = "stem",
    unreadable: Unreadable = "error",
    classes: Classes | None = None,
    others: Others = "error",
    info: dict,
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens a folder: `path/<class>/<id>.jpg`, or `path/<id>.jpg` without labels.

    Args:
        path: A folder to divide, or {"train": folder, "validation": folder, "test": folder}.
        id_from: "stem" (the file name without its suffix) or "path" (`<class>/<stem>`, for files
            that are numbered within their class).
        unreadable: What of truncated files: "error", or "skip", which decodes every file once at
            start, names the damaged and counts them.
        classes: The classes wanted, in order: each a folder name, or
            (new name, (folder names to merge)); None: all folders in alphabetical order.
        others: What of files in other classes: "error", "drop" or "unlabelled".
        info: See `astrojax.data.info.describe`. NPY arrays are [h w c], or [h w] for one band.
        crop: Side of the central square to cut, or None.
        resize: Side to resample 8-bit images to, or None.
        bad_pixels: "error" or "mask".
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: No pictures, two files with one id, a damaged file, a grey image where bands are
            three, or any of `astrojax.data.validate`.
    """
    cuts: dict[str, Any] = {"crop": crop, "resize": resize, "bad_pixels": bad_pixels}

    def open_one(one: str, _: str) -> images.StoredSource:
        root = validate.file(one)
        files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(f"folder {one!r} holds no {', '.join(SUFFIXES)} files")
        bands, names, columns = len(info.get("bands", ())), None, {}
        if any(f.parent != root for f in files):
            folders = np.array([f.relative_to(root).parts[0] for f in files])
            columns["label"], names, kept = encode_labels(
                folders, names=None, classes=classes, others=others, where=one
            )
            files, columns = [files[k] for k in kept], {"label": columns["label"][kept]}
        kept = images.drop_unreadable(FileImages(files, bands), unreadable)
        stamps = FileImages([files[k] for k in kept], bands)
        columns = {name: values[kept] for name, values in columns.items()}
        columns["id"] = _ids(stamps.files, root, id_from)
        return images.open_source(stamps, columns, info=info, where=one, classes=names, **cuts)

    return images.split_paths(open_one, path, split)


def _ids(files: list[Path], root: Path, id_from: str) -> np.ndarray:
    seen: dict[str, Path] = {}
    for file in files:
        name = file.stem if id_from == "stem" else str(file.relative_to(root).with_suffix(""))
        if name in seen:
            raise UserError(
                f"two files have the id {name!r}: {seen[name]} and {file}; remove one"
                + ("" if id_from == "path" else ', or set data.id_from to "path"')
            )
        seen[name] = file
    return np.array(list(seen))


class FileImages:
    """One picture or array per file."""

    def __init__(self, files: list[Path], bands: int):
        self.files, self.bands = files, bands

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        file = self.files[index]
        try:
            data = file.read_bytes()
            if file.suffix.lower() != ".npy":
                return images.decode(data, bands=self.bands, where=self.where(index))
            array = np.load(io.BytesIO(data), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, UserError) and not isinstance(error, images.Unreadable):
                raise
            raise images.Unreadable(f"{file} cannot be read ({error}){images.SKIP}") from None
        return array[..., None] if array.ndim == 2 else array

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return str(self.files[index])
