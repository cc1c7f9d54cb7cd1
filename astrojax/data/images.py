# SPDX-License-Identifier: Apache-2.0
"""Sources whose stamps stay on disk: one is read, checked and cut when it is asked for."""

import dataclasses
import functools
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from astrojax.config import call
from astrojax.data import keys, split, validate
from astrojax.data.info import DataInfo, describe, measure_noise
from astrojax.data.keys import BadPixels, Paths
from astrojax.data.source import Source, Subset
from astrojax.errors import UserError

SKIP = '; data.unreadable = "skip" leaves such files out'


@runtime_checkable
class Images(Protocol):
    """Stamps in a file: a picklable sequence of arrays [h w c] as they are stored."""

    def __len__(self) -> int:
        """Number of stamps."""

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        """Returns one stamp, in the dtype it is stored in."""

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""


class StoredSource:
    """Columns in memory, images read one at a time: the source behind every file format.

    An image comes out as uint8 if it is stored so, else as float32 (float16 is cast here, after
    the read and before any arithmetic).

    Attributes:
        info: What the pixels are.
        columns: {name: values [n ...]}, `id` among them.
    """

    def __init__(
        self,
        images: Images,
        columns: Mapping[str, np.ndarray],
        info: DataInfo,
        *,
        crop: int | None,
        resize: int | None,
        bad_pixels: BadPixels,
    ):
        self.images, self.columns, self.info = images, dict(columns), info
        self.crop, self.resize, self.bad_pixels = crop, resize, bad_pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self._image(index), **{n: v[index] for n, v in self.columns.items()}}

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry other than the image, [n ...]."""
        return self.columns[name]

    def _image(self, index: int) -> np.ndarray:
        image = _stored(self.images, index)
        where = self.images.where
        image = fit(image, crop=self.crop, resize=self.resize, where=lambda: where(index))
        validate.stamp_shape(image.shape, self.info.bands, where(index))
        validate.side(image.shape, self.info.image_size, where(index))
        bad = validate.count_bad(image)
        if bad and self.bad_pixels == "error":
            raise UserError(validate.bad_pixels_message([image], where(index)))
        if bad and self.bad_pixels == "mask":
            image = np.where(np.isfinite(image), image, 0)
        return image if image.dtype == np.uint8 else np.asarray(image, np.float32)


def open_source(
    images: Images,
    columns: Mapping[str, np.ndarray],
    *,
    info: Mapping[str, Any],
    where: str,
    classes: Sequence[str] | None = None,
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
) -> StoredSource:
    """Puts stamps and columns together, after checks of a sample of the stamps.

    Args:
        images: The stamps.
        columns: {name: values [n ...]}; without `id` the row number is the id.
        info: The config section that `describe` takes.
        where: What to call the data in messages.
        classes: Names of the labels.
        crop: Side of the central square to cut, or None.
        resize: Side to resample 8-bit images to after the cut, or None.
        bad_pixels: "error", "mask" (NaN and infinite pixels become zero), or "keep" (for
            `astrojax.inference`, which flags such objects and damaged files).

    Raises:
        UserError: No stamps, wrong number of bands, too small for the crop, NaN or infinite pixels
            in the sample, or columns of another length.
    """
    if not len(images):
        raise UserError(f"{where} holds no stamps")
    columns = {"id": np.arange(len(images)), **columns}
    for name, values in columns.items():
        if len(values) != len(images):
            raise UserError(f"{where}: {len(values)} values of {name}, but {len(images)} stamps")
    validate.unique_ids(columns["id"], where)
    described = call(describe, info, path="data.info", image_size=0, classes=classes)
    stamps = _sample(images, described["bands"], crop, resize, bad_pixels, where)
    described["image_size"] = stamps[0].shape[0]
    if described["noise"] == "measure":
        described["noise"] = measure_noise(stamps)
    return StoredSource(
        images,
        columns,
        DataInfo(**described),
        crop=crop,
        resize=resize,
        bad_pixels=bad_pixels,
    )


def _sample(
    images: Images,
    bands: tuple[str, ...],
    crop: int | None,
    resize: int | None,
    bad_pixels: BadPixels,
    where: str,
) -> list[np.ndarray]:
    """Returns some stamps, cut as they will be, after the checks that `open_source` lists."""
    sampled, stamps = readable(images, bad_pixels), []
    for i in sampled:
        image = _stored(images, int(i))
        validate.stamp_shape(image.shape, bands, images.where(int(i)))
        named = functools.partial(images.where, int(i))
        stamps.append(fit(image, crop=crop, resize=resize, where=named))
    bad = sum(map(validate.count_bad, stamps))
    if bad and bad_pixels == "error":
        raise UserError(validate.bad_pixels_message(stamps, where))
    if bad:
        done = "set to zero" if bad_pixels == "mask" else "kept"
        logging.warning(
            "%s: %d NaN or Inf pixels in %d sampled stamps are %s", where, bad, len(stamps), done
        )
    empty = [i for i, s in zip(sampled, stamps, strict=True) if s.dtype.kind == "f" and _empty(s)]
    if empty:
        logging.warning(
            "%s: %d of %d sampled stamps are zero in over a quarter of a band's pixels, e.g. %s",
            where,
            len(empty),
            len(stamps),
            images.where(int(empty[0])),
        )
    for i, stamp in zip(sampled, stamps, strict=True):
        validate.side(stamp.shape, stamps[0].shape[0], images.where(int(i)))
    return stamps


def readable(images: Images, bad_pixels: BadPixels) -> list[int]:
    """Returns positions of a sample of stamps; with "keep", without those whose files are damaged.

    Raises:
        UserError: A sampled stamp cannot be read; with "keep", none of them can.
    """
    sampled = np.unique(np.linspace(0, len(images) - 1, validate.SAMPLE).astype(int)).tolist()
    if bad_pixels != "keep":
        return sampled
    found, message = [], ""
    for index in sampled:
        try:
            images[index]
            found.append(index)
        except Unreadable as error:
            message = str(error)
    if not found:
        raise UserError(f"none of {len(sampled)} sampled stamps can be read: {message}")
    return found


def reopen(
    images: Images,
    columns: Mapping[str, np.ndarray],
    info: DataInfo,
    *,
    crop: int | None,
    resize: int | None,
) -> StoredSource:
    """Returns a source of stamps that were checked when they were converted."""
    stamp = fit(images[0], crop=crop, resize=resize, where=lambda: images.where(0))
    info = dataclasses.replace(info, image_size=stamp.shape[0])
    return StoredSource(images, columns, info, crop=crop, resize=resize, bad_pixels="error")


def split_paths(
    open_one: Callable[[str, str], Source],
    path: Paths,
    section: Mapping[str, Any] | None,
) -> dict[str, Source]:
    """Returns one path divided by `section`, or {"train": path, "validation": path, "test": path}.

    `open_one` gets a path and the name of its split; "all" if the path is to be divided.

    Raises:
        UserError: Both a division and separate paths; a path without a file; or, where the files
            name their objects, an object in two of them.
    """
    if isinstance(path, str):
        return split.apply(open_one(path, "all"), section)
    if section is not None:
        raise UserError("config key 'data.split' has to be None where data.path names each split")
    for name in path:
        validate.choice(name, split.NAMES, "data.path")
    found = {name: open_one(p, name) for name, p in path.items() if p is not None}
    seen: dict[str, Source] = {}
    for name, source in found.items():
        row_numbers = np.array_equal(source.column("id"), np.arange(len(source)))
        for other in () if row_numbers else seen:
            validate.disjoint(source, seen[other], (name, other), radius_arcsec=None)
        seen[name] = source
    return found


def with_thinning(
    names: Mapping[str, Any], label_thinning: int | None, split_name: str
) -> dict[str, Any]:
    """Returns column names, with `use_redshift_{f}` for the split that is trained on."""
    if label_thinning is None or split_name not in ("train", "all"):
        return dict(names)
    return {**names, "use_redshift": f"use_redshift_{label_thinning}"}


def thin_training(sources: dict[str, Source]) -> dict[str, Source]:
    """Hides redshifts of the training split where its `use_redshift` is not 1."""
    train = sources.get("train")
    stored: Source | None = train
    rows: slice | np.ndarray = slice(None)
    if isinstance(train, Subset):
        stored, rows = train.source, train.positions
    if isinstance(stored, StoredSource) and "use_redshift" in stored.columns:
        use = stored.columns.pop("use_redshift")[rows]
        redshift = stored.columns["redshift"].copy()
        redshift[rows] = np.where(use == 1, redshift[rows], np.nan)
        stored.columns["redshift"] = redshift
    return sources


def fit(
    image: Shaped[np.ndarray, "h w c"],
    *,
    crop: int | None,
    resize: int | None,
    where: Callable[[], str],
) -> Shaped[np.ndarray, "s t c"]:
    """Cuts the central square of side `crop`, then resamples an 8-bit image to side `resize`."""
    if crop is not None:
        validate.crop(min(image.shape[:2]), crop, where())
        image = central_crop(image, crop)
    if resize is None or image.shape[:2] == (resize, resize):
        return image
    if image.dtype != np.uint8:
        raise UserError("data.resize is for 8-bit images (resampling moves flux): use data.crop")
    from PIL import Image

    grey = image.shape[-1] == 1
    picture = Image.fromarray(image[..., 0] if grey else image)
    resampled = np.asarray(picture.resize((resize, resize), Image.Resampling.LANCZOS))
    return resampled[..., None] if grey else resampled


def central_crop(
    image: Shaped[np.ndarray, "h w c"], crop: int | None
) -> Shaped[np.ndarray, "s t c"]:
    """Returns the central square of side `crop`; the whole image if that is None."""
    if crop is None:
        return image
    top, left = (image.shape[0] - crop) // 2, (image.shape[1] - crop) // 2
    return image[top : top + crop, left : left + crop]


def decode(data: bytes, *, bands: int, where: str) -> Shaped[np.ndarray, "h w c"]:
    """Decodes a JPEG or PNG file.

    Raises:
        UserError: It is truncated or no image, or is grey where color is wanted or the reverse.
    """
    from PIL import Image

    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise Unreadable(f"{where}: {error}") from None
    if picture.mode in ("P", "RGBA", "CMYK", "LA", "1"):
        picture = picture.convert("L" if picture.mode in ("LA", "1") else "RGB")
    image = np.asarray(picture)
    image = image if image.ndim == 3 else image[..., None]
    if bands == 1 and (image == image[..., :1]).all():
        image = image[..., :1]  # a single band that was saved as a color file
    if image.shape[-1] != bands:
        kind = "grey" if image.shape[-1] == 1 else f"of {image.shape[-1]} channels"
        raise UserError(f"{where} is {kind}, but data.info.bands names {bands} bands")
    return image


def _empty(stamp: np.ndarray) -> bool:
    return bool(((stamp == 0).mean((0, 1)) > 0.25).any())


def _stored(images: Images, index: int) -> Shaped[np.ndarray, "h w c"]:
    try:
        return images[index]
    except UserError:
        raise
    except Exception as error:  # whatever a truncated record makes a library raise
        raise Unreadable(f"{images.where(index)} cannot be read: {error}") from error


class Unreadable(UserError):
    """A file that is damaged: it may be skipped if the config says so."""


def drop_unreadable(images: Any, policy: keys.Unreadable) -> np.ndarray:
    """Returns positions of the stamps to keep.

    With "error" all of them: a damaged file stops the run when it is met. With "skip" every file
    is decoded once, now, because the number of examples has to be known; the damaged ones are
    named and counted in a warning. Convert to TFDS to pay for that once.
    """
    if policy == "error":
        return np.arange(len(images))
    kept, dropped = [], []
    for index in range(len(images)):
        try:
            images[index]
            kept.append(index)
        except Unreadable:
            dropped.append(images.where(index))
    if dropped:
        names = ", ".join(Path(d).name for d in dropped[:5])
        logging.warning("skipped %d of %d unreadable files: %s", len(dropped), len(images), names)
    return np.array(kept, int)
