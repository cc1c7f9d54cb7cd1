# SPDX-License-Identifier: Apache-2.0
"""A folder of pictures (JPEG, PNG, TIFF, WebP, BMP) or arrays (NPY): one folder per class, or none.

    path/<class>/<id>.jpg     labels are the folders
    path/<id>.jpg             no labels
    path/train/<class>/...    splits, as ImageFolder has them: train, val (valid, validation), test

Hidden files, files of other suffixes, pictures beside the class folders and class folders without
a picture are left out, named in a warning and counted in `DataInfo.left_out`.
"""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from astrojax.data import images, pictures, validate
from astrojax.data.classes import Encoder
from astrojax.data.keys import (
    MAX_BYTES,
    MAX_PIXELS,
    BadPixels,
    Classes,
    Others,
    Paths,
    Unreadable,
)
from astrojax.data.listing import LINKS, Listing, is_hidden
from astrojax.data.source import Source
from astrojax.errors import UserError

SUFFIXES = (*pictures.SUFFIXES, ".npy")
_SPLITS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
BESIDE = "files beside the class folders"
EMPTY = "class folders without a picture"


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
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens a folder: `path/<class>/<id>.jpg`, or `path/<id>.jpg` without labels.

    Args:
        path: A folder to divide, a folder with the folders train, val and test, or
            {"train": folder, "validation": folder, "test": folder}.
        id_from: "stem" (file name without suffix), or "path" (`<class>/<stem>`).
        classes: The classes wanted, in order: each a folder, or (new name, (folders to merge));
            None: all folders in alphabetical order.
        others: What of files in other classes: "error", "drop" or "unlabelled".
        info: See `astrojax.data.info.describe`. NPY arrays are [h w c], or [h w] for one band.
        crop: Side of the central square to cut, or None.
        resize: Side to resample pictures to, or None.
        bad_pixels: See `astrojax.data.keys`.
        unreadable: See `astrojax.data.keys`.
        max_pixels: See `astrojax.data.keys`.
        max_bytes: See `astrojax.data.keys`.
        split: See `astrojax.data.keys`.

    Raises:
        UserError: No pictures, two files with one id, a damaged file, a grey image where bands are
            three, or any of `astrojax.data.validate`.
    """
    path, base = split_folders(path)
    folders = [path] if isinstance(path, str) else path.values()
    listings = {p: Listing(validate.file(p), SUFFIXES) for p in folders if p is not None}
    names = tuple(sorted({name for listing in listings.values() for name in _classes(listing)}))
    encode = Encoder(classes, others)
    cuts: dict = {"crop": crop, "resize": resize, "bad_pixels": bad_pixels}
    cuts["unreadable"] = unreadable

    def open_one(one: str, _: str) -> images.StoredSource:
        files, labels, named, lost = _labelled(listings[one], names, encode)
        columns = {"id": _ids(files, base or listings[one].folder, id_from)} | labels
        stamps = FileImages(files, len(info.get("bands", ())), max_pixels, max_bytes)
        said: dict = {"info": info, "where": one, "classes": named, "left_out": lost}
        return images.open_source(stamps, columns, **said, **cuts)

    return images.split_paths(open_one, path, split)


def split_folders(path: Paths) -> tuple[Paths, Path | None]:
    """Returns a folder that holds splits as {split: folder}, and itself; others as they are."""
    if not isinstance(path, str):
        return path, None
    root = validate.file(path)
    found: dict[str, str | None] = {}
    if not root.is_dir():
        return path, None
    visible = [p for p in sorted(root.iterdir()) if p.is_dir() and not is_hidden(p.name)]
    for folder in visible:
        name = _SPLITS.get(folder.name.lower())
        if name is None or name in found:
            return path, None  # a class of its own: these are no splits
        found[name] = str(folder)
    return (found, root) if "train" in found or len(found) > 1 else (path, None)


def _classes(listing: Listing) -> set[str]:
    """Returns the folders, links among them, that hold pictures."""
    parts = (f.relative_to(listing.folder).parts for f in listing.files)
    return {p[0] for p in parts if len(p) > 1}


def _labelled(
    listing: Listing, names: tuple[str, ...], encode: Encoder
) -> tuple[list[Path], dict[str, np.ndarray], tuple[str, ...] | None, dict[str, int]]:
    """Returns the files to read, their column `label`, the classes, and {reason: left out}.

    Args:
        listing: What is in a folder.
        names: Folders of classes, of all splits; none: there are no labels.
        encode: The classes wanted.

    Raises:
        UserError: The folder has no picture.
    """
    files, lost = _pictures(listing, bool(names))
    if not files:
        raise UserError(f"folder '{listing.folder}' holds no {', '.join(SUFFIXES)} files")
    if not names:
        return files, {}, None, lost
    index = {name: i for i, name in enumerate(names)}
    folder = np.array([index[f.relative_to(listing.folder).parts[0]] for f in files])
    labels, named, kept = encode(folder, names, str(listing.folder))
    if len(kept) < len(files):
        lost["files of other classes"] = len(files) - len(kept)
    return [files[k] for k in kept], {"label": labels[kept]}, named, lost


def _pictures(listing: Listing, labelled: bool) -> tuple[list[Path], dict[str, int]]:
    """Returns the files to read, and {reason: count} of what is left out, which a warning names."""
    left_out: dict[str, list[Path]] = dict(listing.left_out)
    files = listing.files
    if labelled:
        left_out[BESIDE] = [f for f in files if f.parent == listing.folder]
        files = [f for f in files if f.parent != listing.folder]
        known = _classes(listing) | {p.name for p in left_out.get(LINKS, ())}
        left_out[EMPTY] = [listing.folder / n for n in listing.folders if n not in known]
    told = {reason: paths for reason, paths in left_out.items() if paths}
    _tell(listing.folder, told)
    return files, {reason: len(paths) for reason, paths in told.items()}


def _tell(folder: Path, left_out: Mapping[str, list[Path]]) -> None:
    for reason, paths in left_out.items():
        names = ", ".join(str(p.relative_to(folder)) for p in paths[:5])
        more = ", ..." if len(paths) > 5 else ""
        logging.warning("%s: left out %d %s: %s%s", folder, len(paths), reason, names, more)


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

    def __init__(self, files: list[Path], bands: int, max_pixels: int, max_bytes: int):
        self.files, self.bands = files, bands
        self.max_pixels, self.max_bytes = max_pixels, max_bytes

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        file = self.files[index]
        try:
            size = file.stat().st_size
            if size > self.max_bytes:
                raise pictures.Unreadable(
                    f"{file} has {size} bytes, more than data.max_bytes = {self.max_bytes}"
                )
            data = file.read_bytes()
            if file.suffix.lower() == ".npy":
                return _array(data, self.where(index), self.max_pixels)
            return pictures.decode(
                data, bands=self.bands, where=self.where(index), max_pixels=self.max_pixels
            )
        except pictures.Unreadable as error:
            raise pictures.Unreadable(f"{error}{images.SKIP}") from None
        except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
            raise pictures.Unreadable(f"{file} cannot be read ({error}){images.SKIP}") from None

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return str(self.files[index])


def _array(data: bytes, where: str, max_pixels: int) -> np.ndarray:
    """Returns an NPY array [h w c] whose header does not claim more than the file has."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
    shape, _, dtype = (read or np.lib.format.read_array_header_2_0)(stream)
    if len(shape) not in (2, 3):
        raise pictures.Unreadable(f"{where} has the shape {shape}, not [h w c]")
    pictures.check_size(shape, where, max_pixels)
    if dtype.hasobject or int(np.prod(shape, dtype=object)) * dtype.itemsize > len(data):
        raise pictures.Unreadable(f"{where} is cut off: its header says {shape} of {dtype}")
    stream.seek(0)
    array = np.load(stream, allow_pickle=False)
    return array[..., None] if array.ndim == 2 else array
